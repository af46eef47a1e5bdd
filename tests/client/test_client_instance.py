"""The client and a whole instance: processes that die, are replaced and end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from instance_process import Instance, until
from pem_files import authority

from balance.client import Client, ConflictError, ForbiddenError, NotAuthorisedError, UnreachableError

pytestmark = pytest.mark.long
TEXT = """\
workers: 1
listen: "127.0.0.1:0"
mode: http
admin: {listen: "127.0.0.1:0"}
shutdown: {delay: 0}
backends: [{name: a, address: "127.0.0.1:1", weight: 2}, {name: b, address: "127.0.0.1:2"}]
"""


def test_orders_and_events_over_the_death_of_control(tmp_path: Path) -> None:
    instance = Instance(tmp_path, TEXT).ready()
    try:
        client = Client(f":{instance.admin_port}")
        assert client.status().ready
        seen: list[str] = []
        with client.events(0) as events:
            reader = threading.Thread(target=lambda: seen.extend(event.text for event in events), daemon=True)
            reader.start()
            assert client.drain("a").state == "draining"
            until(lambda: client.backend("a").drained, "drained")
            (control,) = instance.children("balance control") or [client.status().document["control"]["pid"]]
            os.kill(control, signal.SIGKILL)
            until(lambda: events.lost_contact_at, "lost contact")
            until(lambda: not events.lost_contact_at, "contact")
            assert client.backend("a").state == "draining"
            assert client.weight("b", 7).changes == ("~ backend default/b: weight 1 -> 7",)
            until(lambda: any("weight" in text or "generation 2" in text for text in seen), lambda: f"it in {seen}")
        reader.join(10)
        assert not reader.is_alive()
        instance.config.write_text("listen: nonsense\nnobody: 1\n")
        with pytest.raises(ConflictError) as refused:
            client.reload()
        assert len(refused.value.problems) > 1
        assert all(problem.startswith(f"{instance.config}:") for problem in refused.value.problems[:1])
        assert client.config().config
        client.stop()
        assert instance.process.wait(20) == 0
        with pytest.raises(UnreachableError):
            client.status()
    finally:
        instance.process.kill()
        instance.process.wait()


def test_a_unix_socket_and_tokens(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    ops = tmp_path / "ops"
    ops.write_text("a-token-to-change-things-0123\n")
    auth = (
        f"{{tokens: [{{name: ops, token_file: {ops}}}], read_only_tokens: [{{name: ci, token: a-token-to-read-alone-4567}}]}}"
    )
    text = TEXT.replace('admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "unix:{path}", auth: {auth}}}')
    instance = Instance(tmp_path, text).ready()
    try:
        address = f"unix:{path}"
        with pytest.raises(NotAuthorisedError):
            Client(address).status()
        reading = Client(address, token="a-token-to-read-alone-4567")
        assert reading.status().listeners[0].mode == "http"
        with pytest.raises(ForbiddenError):
            reading.drain("a")
        assert Client(address, token_file=str(ops)).drain("a").state == "draining"
    finally:
        instance.process.kill()
        instance.process.wait()


def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    ca = authority("Ops")
    server, me = ca.issue("admin", "IP:127.0.0.1"), ca.issue("Ada")
    tls = f"cert_file: {server.cert}, key_file: {server.key}, client_auth: require-and-verify, client_ca_file: {ca.cert}"
    text = TEXT.replace('{listen: "127.0.0.1:0"}', f'{{listen: "127.0.0.1:PORT", tls: {{{tls}}}}}')
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    instance = Instance(tmp_path, text.replace("PORT", str(port))).ready()
    try:
        client = Client(f"https://127.0.0.1:{port}", ca_file=str(ca.cert), client_cert=str(me.cert), client_key=str(me.key))
        assert client.status().ready
        with client.events(0) as events:
            assert client.drain("a").state == "draining"
            assert next(events).number
    finally:
        instance.process.kill()
        instance.process.wait()
