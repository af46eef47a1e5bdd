"""Health checks over TLS against real TLS servers, with a test CA: whoever the traffic would not reach is not healthy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
import uvloop
from pem_files import authority, read, self_signed
from tls_server import OK, answering, server_context, tls_server

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes import PROBES, check_tls
from balance.probes.result import Result
from balance.tls.settings import BackendTls
from balance.tls.x509 import pem_blocks

CA = authority()
APP = CA.issue("app.internal")
CLIENT = CA.issue("balance")
OURS = BackendTls(True, ca_file=read(CA.cert), server_name="app.internal")
WITH_CERTIFICATE = replace(OURS, client_cert_file=read(CLIENT.cert), client_key_file=read(CLIENT.key))


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's authorities are the one above."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CA.cert))
    check_tls.context.cache_clear()
    yield
    check_tls.context.cache_clear()


def probe(address: Address, kind: str = "http", scheme: str = "", **settings: object) -> Result:
    check = HealthCheck(**{"enabled": True, "kind": kind, "timeout_s": 5.0, **settings})  # type: ignore[arg-type]
    backend = BackendConfig("b1", address, scheme=scheme)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in control
        return runner.run(PROBES[kind](check, backend))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "reason"), [("http", "status 200"), ("https", "status 200"), ("tcp", "connected, with TLS")])
def test_a_check_is_secured_as_the_traffic_is(kind: str, reason: str) -> None:
    with tls_server(server_context(APP, CA)) as server:
        assert probe(server.address, kind, tls=WITH_CERTIFICATE)[:2] == (True, reason)
        server.wait()
        assert server.names == ["app.internal"]
        assert server.clients == [pem_blocks(CLIENT.cert.read_bytes())[0]]


def test_addresses_choose_as_for_the_traffic() -> None:
    with tls_server(server_context(APP)) as server:
        plain = BackendTls(False, ca_file=read(CA.cert), server_name="app.internal")
        assert probe(server.address, scheme="https", tls=plain).is_ok
        assert not probe(server.address, tls=plain).is_ok


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (BackendTls(True), "its certificate is not accepted: self-signed certificate in certificate chain"),
        (BackendTls(True, ca_file=read(CA.cert)), "its certificate is not accepted: IP address mismatch, certificate is not"),
        (OURS, "it refuses our certificate: certificate required"),
    ],
)
def test_whom_the_traffic_would_not_reach_is_a_plain_no(settings: BackendTls, reason: str) -> None:
    with tls_server(server_context(APP, CA)) as server:
        result = probe(server.address, tls=settings)
        assert result.reason.startswith(reason)
        assert (result.is_ok, result.is_explicit) == (False, True)


def test_unverified_anybody_is_healthy() -> None:
    with tls_server(server_context(self_signed("other.example"))) as server:
        assert probe(server.address, tls=BackendTls(True, verify=False)).is_ok


@pytest.mark.parametrize("send", ["v1", "v2"])
def test_a_local_header_goes_before_the_handshake(send: str) -> None:
    local = {"v1": b"PROXY UNKNOWN\r\n", "v2": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"}[send]
    with tls_server(server_context(APP), header_bytes=len(local)) as server:
        assert probe(server.address, tls=OURS, send_proxy=send).is_ok
        assert server.headers == [local]


def test_another_port_is_spoken_to_as_the_type_says() -> None:
    with tls_server(server_context(APP)) as server:
        elsewhere = Address("127.0.0.1", 1)
        assert probe(elsewhere, "https", tls=OURS, port=server.address.port).is_ok
        assert not probe(elsewhere, "http", tls=OURS, port=server.address.port).is_ok


def test_a_check_ends_with_a_close_notify() -> None:
    with tls_server(server_context(APP), answering(OK)) as server:
        assert probe(server.address, tls=OURS).is_ok
        assert server.failures == []


def test_https_without_tls_to_the_pool_is_for_the_checks_host_and_judged_as_http(trusted: None) -> None:
    with tls_server(server_context(APP)) as server:
        assert probe(server.address, "https", host="app.internal:8443", expected_body="ok")[:2] == (True, "status 200")
        assert server.names == ["app.internal"]
        no = probe(server.address, "https", host="app.internal", expected_status=((204, 204),))
        assert no[:2] == (False, "status 200, expected 204")


def test_a_server_without_tls_is_named_as_such() -> None:
    async def talk() -> Result:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            check = HealthCheck(enabled=True, kind="https", timeout_s=5.0)
            return await PROBES["https"](check, BackendConfig("b1", Address("127.0.0.1", port)))

    assert asyncio.run(talk()).reason == "it does not speak TLS"


def test_a_handshake_that_never_ends_is_given_up_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("127.0.0.1", silent.getsockname()[1])
        assert probe(address, "https", timeout_s=0.2)[:2] == (False, "no answer within 0.2s")


@pytest.mark.parametrize(
    ("host", "address", "tls", "name"),
    [
        ("", Address("app-1", 443), BackendTls(), "app-1"),
        ("", Address("", 0, "/run/app.sock"), BackendTls(), "localhost"),
        ("app.example", Address("10.0.0.1", 443), BackendTls(), "app.example"),
        ("app.example:8443", Address("10.0.0.1", 443), BackendTls(), "app.example"),
        ("[::1]:8443", Address("10.0.0.1", 443), BackendTls(), "::1"),
        ("::1", Address("10.0.0.1", 443), BackendTls(), "::1"),
        ("[::1]", Address("10.0.0.1", 443), BackendTls(), "::1"),
        ("", Address("10.0.0.1", 443), BackendTls(server_name="app.internal"), "app.internal"),
        ("app.example", Address("app-1.", 443), BackendTls(True), "app-1"),  # as the traffic's
        ("app.example", Address("10.0.0.1", 443), BackendTls(True, server_name="app.internal"), "app.internal"),
    ],
)
def test_the_certificate_must_be_for_the_traffics_name_else_the_checks_host(
    host: str, address: Address, tls: BackendTls, name: str
) -> None:
    check = HealthCheck(kind="https", host=host, tls=tls)
    assert check_tls.name_of(check, BackendConfig("b1", address), address) == name
