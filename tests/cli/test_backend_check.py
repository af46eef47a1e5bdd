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


def test_what_is_offered_and_chosen_is_what_traffic_would_speak() -> None:
    pair = self_signed("app.internal")
    only_http2, only_http1, both = (server_context(pair) for _ in range(3))
    only_http2.set_alpn_protocols(["h2"])
    only_http1.set_alpn_protocols(["http/1.1"])
    with tls_server(only_http2) as new, tls_server(only_http1) as old, tls_server(both) as any_of_them:
        text = f"""\
listen: ":1"
backends:
  - {{name: new, address: "https://{new.address}", protocol: h2}}
  - {{name: old, address: "https://{old.address}", protocol: h2}}
  - {{name: auto, address: "https://{any_of_them.address}", protocol: auto}}
  - {{name: auto-old, address: "https://{old.address}", protocol: auto}}
tls: {{backend: {{enabled: false, ca_file: {pair.cert}, server_name: app.internal}}}}
"""
        found = check_backends(load_text(text, "f.yaml", {}))
    certificate = "its certificate is for app.internal"
    said = [f"TLSv1.3, h2, {certificate}", "", f"TLSv1.3, h2, {certificate}", f"TLSv1.3, http/1.1, {certificate}"]
    assert [verdict.tls for verdict in found] == said
    (problem,) = [str(verdict.problem) for verdict in found if verdict.problem is not None]
    assert problem.endswith(f"default.old at {old.address} can't be reached: it does not choose HTTP/2 by ALPN")
