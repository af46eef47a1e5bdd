"""TLS on the admin port: who gets in, who learns why not, and that nothing is ever said in plain text."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from admin_server import connected, serving, until_end
from pem_files import authority, openssl, read, self_signed

from balance.admin.serving import acceptor
from balance.admin.state_view import StateView
from balance.config.model import AdminTls
from balance.tls.settings import PemFile

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def settings(name: str = "admin.example", **more: object) -> AdminTls:
    pair = self_signed(name)
    return AdminTls(True, read(pair.cert), read(pair.key), **more)  # type: ignore[arg-type]


def context_for(**changes: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in changes.items():
        setattr(context, name, value)
    return context


def ask(port: int, context: ssl.SSLContext | None = None, request: bytes = GET) -> tuple[bytes, bytes]:
    """The certificate and the reply."""
    with connected(port) as raw, (context or context_for()).wrap_socket(raw, server_hostname="localhost") as client:
        client.sendall(request)
        reply = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while data := client.recv(65536):
                reply += data
        return client.getpeercert(binary_form=True) or b"", reply


def test_a_request_over_tls_is_answered(view: StateView) -> None:
    with serving(view, settings) as port:
        certificate, reply = ask(port)
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert ssl.DER_cert_to_PEM_cert(certificate).encode() == settings().cert_file.text


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (GET, acceptor.PLAIN_HTTP),
        (b"P", acceptor.PLAIN_HTTP),
        (b"\x80\x2e\x01\x00\x02", b""),  # SSL 2
        (b"\x00" * 100, b""),
    ],
)
def test_plain_http_is_told_so_in_a_line_and_nothing_else(view: StateView, sent: bytes, reply: bytes) -> None:
    with serving(view, settings) as port, connected(port) as client:
        client.sendall(sent)
        assert until_end(client) == reply
    assert acceptor.PLAIN_HTTP.startswith(b"HTTP/1.1 400 ")
    assert acceptor.PLAIN_HTTP.count(b"\n") == 6


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_handshake_has_to_come_in_time(view: StateView, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(acceptor, "HANDSHAKE_TIMEOUT_S", 0.1)
    with serving(view, settings) as port, connected(port) as client:
        client.sendall(sent)
        assert until_end(client)[:1] in (b"", b"\x15")


@pytest.mark.long
def test_handshakes_that_stop_keep_nobody_out(view: StateView) -> None:
    with serving(view, settings) as port, contextlib.ExitStack() as stack:
        for number in range(2 * acceptor.MAX_OPENING):
            client = stack.enter_context(connected(port))
            client.sendall(b"\x16\x03\x01" if number % 2 else b"")
        assert ask(port)[1].startswith(b"HTTP/1.1 200 OK")


def test_versions_below_the_oldest_are_refused_with_the_alert(view: StateView) -> None:
    old = context_for(maximum_version=ssl.TLSVersion.TLSv1_2)
    with serving(view, lambda: settings(min_version="1.3")) as port:
        assert ask(port)[1].startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            ask(port, old)


def with_certificate(issued: bool) -> ssl.SSLContext:
    pair = authority("Ops").issue("Ada") if issued else self_signed("Ada")
    context = context_for()
    context.load_cert_chain(pair.cert, pair.key)
    return context


ORDER = (
    b"POST /blocklist HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 20\r\n\r\n" + b'{"add": "192.0.2.1"}'
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("client_auth", "client", "who"),
    [
        ("none", context_for, "unauthenticated"),
        ("verify", context_for, "unauthenticated"),
        ("verify", lambda: with_certificate(True), "unauthenticated, certificate CN=Ada"),
        ("verify", lambda: with_certificate(False), ""),
        ("require-and-verify", context_for, ""),
        ("require-and-verify", lambda: with_certificate(True), "unauthenticated, certificate CN=Ada"),
    ],
)
def test_client_certificates(
    view: StateView,
    caplog: pytest.LogCaptureFixture,
    client_auth: str,
    client: Callable[[], ssl.SSLContext],
    who: str,
) -> None:
    trusted = PemFile() if client_auth == "none" else read(authority("Ops").cert)
    tls = settings(client_auth=client_auth, client_ca_file=trusted)
    with serving(view, lambda: tls) as port, caplog.at_level(logging.INFO, "balance.admin"):
        if who:
            assert ask(port, client(), ORDER)[1].startswith(b"HTTP/1.1 200 OK")
            assert f"ordered by {who} at 127.0.0.1:" in caplog.text
            return
        with pytest.raises(ssl.SSLError, match="ALERT"):
            ask(port, client(), ORDER)
    assert "ordered by" not in caplog.text


@pytest.mark.long
def test_a_revoked_client_is_refused(view: StateView) -> None:
    ops = authority("Ops")
    pair = ops.issue("Eve", serial=77)
    context = context_for()
    context.load_cert_chain(pair.cert, pair.key)
    tls = settings(client_auth="verify", client_ca_file=read(ops.cert))
    revoked = settings(client_auth="verify", client_ca_file=read(ops.cert), client_crl_file=read(ops.revoking(77)))
    now = [tls]
    with serving(view, lambda: now[0]) as port:
        assert ask(port, context)[1].startswith(b"HTTP/1.1 200 OK")
        now[0] = revoked
        with pytest.raises(ssl.SSLError, match="ALERT"):
            ask(port, context)


@pytest.mark.long
def test_the_password_of_the_key_comes_from_the_environment(
    view: StateView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pair = self_signed("admin.example")
    openssl("ec", "-in", pair.key, "-aes128", "-passout", "pass:hush", "-out", tmp_path / "locked.key")
    tls = AdminTls(True, read(pair.cert), read(tmp_path / "locked.key"), "ADMIN_KEY_PASSWORD")
    monkeypatch.setenv("ADMIN_KEY_PASSWORD", "hush")
    with serving(view, lambda: tls) as port:
        assert ask(port)[1].startswith(b"HTTP/1.1 200 OK")


def test_another_certificate_is_served_to_who_comes_next_and_a_broken_one_to_nobody(
    view: StateView, caplog: pytest.LogCaptureFixture
) -> None:
    now = [settings("one.example")]
    with serving(view, lambda: now[0]) as port:
        first, _ = ask(port)
        now[0] = settings("two.example")
        second, _ = ask(port)
        now[0] = AdminTls(True, now[0].cert_file, settings("one.example").key_file)
        third, _ = ask(port)
    assert first != second == third
    assert "is not the key of the certificate" in caplog.text


def test_without_a_certificate_nothing_is_said_in_plain_text_instead(view: StateView) -> None:
    broken = AdminTls(True, settings("one.example").cert_file, settings("two.example").key_file)
    with serving(view, lambda: broken) as port, connected(port) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(GET)
        assert until_end(client) == b""


def test_a_reload_turns_tls_on_and_off(view: StateView) -> None:
    now = [AdminTls()]
    with serving(view, lambda: now[0]) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        now[0] = settings()
        assert ask(port)[1].startswith(b"HTTP/1.1 200 OK")
        connection.close()


def test_a_client_that_resets_while_it_is_accepted_is_nothing(view: StateView) -> None:
    with serving(view, settings) as port:
        for _ in range(20):
            client = connected(port)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        assert ask(port)[1].startswith(b"HTTP/1.1 200 OK")
