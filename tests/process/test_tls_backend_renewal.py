"""A whole instance before a backend that asks for our certificate: a renewal of ours is used in seconds, without a reload."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
from pathlib import Path

import pytest
from instance_process import Instance, until
from pem_files import Pair, authority
from tls_server import server_context, tls_server

from balance.tls.x509 import pem_blocks

CA = authority()
APP = CA.issue("app.internal")


def put(pair: Pair, folder: Path) -> None:
    for source, name in ((pair.cert, "client.crt"), (pair.key, "client.key")):
        shutil.copy(source, folder / f"{name}.new")
        (folder / f"{name}.new").rename(folder / name)


def get(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.long
def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first, second = CA.issue("balance"), CA.issue("balance", serial=2)
    put(first, tmp_path)
    with tls_server(server_context(APP, CA)) as server:
        instance = Instance(
            tmp_path,
            f"""
listen: "127.0.0.1:0"
backends: [{{name: app, address: "https://{server.address}"}}]
tls:
  backend: {{ca_file: {CA.cert}, server_name: app.internal, client_cert_file: client.crt, client_key_file: client.key}}
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
""",
        ).ready()
        try:
            assert get(instance.port) == 200
            assert server.clients == [pem_blocks(first.cert.read_bytes())[0]]
            shutil.copy(CA.key, tmp_path / "client.key")  # half written
            instance.saying("is not the key of the certificate")
            assert get(instance.port) == 200
            put(second, tmp_path)
            newest = pem_blocks(second.cert.read_bytes())[0]
            until(lambda: get(instance.port) == 200 and server.clients[-1] == newest, lambda: instance.log)
            pid = instance.children("balance-worker")[0]
            os.kill(pid, signal.SIGKILL)  # its successor has the newest, too
            until(lambda: set(instance.children("balance-worker")) - {pid}, lambda: instance.log)
            until(lambda: get(instance.port) == 200, lambda: instance.log)
            assert server.clients[-1] == newest
        finally:
            instance.destroy()
