"""Connecting to backends, for `balance validate --check-backends`."""

import socket
from pathlib import Path

import pytest
from pem_files import authority, self_signed
from tls_server import server_context, tls_server

from balance.cli.backend_check import check_backends
from balance.config import load_text


def closed_port() -> int:
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        return int(spare.getsockname()[1])


def test_backends_that_accept_are_reached_and_others_named(tmp_path: Path) -> None:
    port = closed_port()
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        path = f"{tmp_path}/s"
        unix.bind(path)
        unix.listen()
        text = f"""\
listen: ":1"
backends:
  - {{address: "127.0.0.1:{tcp.getsockname()[1]}"}}
  - {{address: "unix:{path}"}}
  - {{address: "127.0.0.1:{port}"}}
  - {{name: gone, address: "unix:{tmp_path}/gone"}}
"""
        found = check_backends(load_text(text, "f.yaml", {}))
    assert [str(verdict.problem) for verdict in found if verdict.problem is not None] == [
        f"f.yaml:5:5: backends[2]: default.backend-3 at 127.0.0.1:{port} can't be reached: Connection refused",
        f"f.yaml:6:5: backends[3]: default.gone at unix:{tmp_path}/gone can't be reached: No such file or directory",
    ]


@pytest.mark.long
def test_of_a_backend_with_tls_the_verdict_is_said_in_a_line() -> None:
    ca = authority()
    app, client = ca.issue("app.internal"), self_signed("balance")
    with (
        tls_server(server_context(app)) as good,
        tls_server(server_context(self_signed("other.example"))) as other,
        tls_server(server_context(app, ca)) as asking,
        socket.create_server(("127.0.0.1", 0)),
    ):
        text = f"""\
listen: ":1"
backends:
  - {{name: good, address: "https://{good.address}"}}
  - {{name: other, address: "https://{other.address}"}}
  - {{name: asking, address: "https://{asking.address}"}}
tls:
  backend:
    enabled: false
    ca_file: {ca.cert}
    server_name: app.internal
    client_cert_file: {client.cert}
    client_key_file: {client.key}
"""
        found = check_backends(load_text(text, "f.yaml", {}))
    assert [verdict.tls for verdict in found] == ["TLSv1.3, its certificate is for app.internal", "", ""]
    reached = "f.yaml:{}: backends[{}]: default.{} at {} can't be reached: {}"
    assert [str(verdict.problem) for verdict in found if verdict.problem is not None] == [
        reached.format("4:5", 1, "other", other.address, "its certificate is not accepted: self-signed certificate"),
        reached.format("5:5", 2, "asking", asking.address, "it refuses our certificate: unknown ca"),
    ]
