"""The HTTPS health check against real TLS servers, with a test CA."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes import https
from balance.probes.result import Result

NAME = "app.internal"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for NAME that nobody has signed but itself, in one file."""
    assert shutil.which("openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


@pytest.fixture
def trusted(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's authorities are the one above."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    https.context.cache_clear()
    yield
    https.context.cache_clear()


def ask(pem: Path, seen: dict[str, Any] | None = None, **check: Any) -> Result:
    """One probe of a TLS server that answers 200."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    def named(connection: ssl.SSLObject, name: str | None, made: ssl.SSLContext) -> None:
        if seen is not None:
            seen["sni"] = name

    async def talk() -> Result:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.sni_callback = named
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = {"enabled": True, "kind": "https", "timeout_s": 5.0} | check
            return await https.probe(HealthCheck(**settings), BackendConfig("b1", Address("127.0.0.1", port)))

    return asyncio.run(talk())


def test_a_certificate_for_the_host_is_accepted_and_the_reply_judged_as_in_http(pem: Path, trusted: None) -> None:
    seen: dict[str, Any] = {}
    assert ask(pem, seen, host=f"{NAME}:8443", expected_body="ello")[:2] == (True, "status 200")
    assert seen["sni"] == NAME
    assert ask(pem, host=NAME, expected_status=((204, 204),))[:2] == (False, "status 200, expected 204")


def test_a_certificate_for_somebody_else_is_a_plain_no(pem: Path, trusted: None) -> None:
    result = ask(pem)
    assert result.reason.startswith("its certificate is not accepted: IP address mismatch")
    assert result.is_explicit


def test_a_certificate_that_nobody_vouches_for_is_a_plain_no(pem: Path) -> None:
    result = ask(pem, host=NAME)
    assert result.reason == "its certificate is not accepted: self-signed certificate"
    assert result.is_explicit


def test_a_server_without_tls_is_named_as_such(trusted: None) -> None:
    async def talk() -> Result:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            check = HealthCheck(enabled=True, kind="https", timeout_s=5.0)
            return await https.probe(check, BackendConfig("b1", Address("127.0.0.1", port)))

    assert asyncio.run(talk()).reason.startswith("TLS failed: ")


def test_a_handshake_that_never_ends_is_given_up_at_the_timeout(trusted: None) -> None:
    async def talk() -> Result:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            check = HealthCheck(enabled=True, kind="https", timeout_s=0.2)
            return await https.probe(check, BackendConfig("b1", Address("127.0.0.1", port)))

    assert asyncio.run(talk())[:2] == (False, "no answer within 0.2s")


@pytest.mark.parametrize(
    ("host", "address", "name"),
    [
        ("", Address("app-1", 443), "app-1"),
        ("", Address("", 0, "/run/app.sock"), "localhost"),
        ("app.example", Address("10.0.0.1", 443), "app.example"),
        ("app.example:8443", Address("10.0.0.1", 443), "app.example"),
        ("[::1]:8443", Address("10.0.0.1", 443), "::1"),
        ("::1", Address("10.0.0.1", 443), "::1"),
        ("[::1]", Address("10.0.0.1", 443), "::1"),
    ],
)
def test_the_certificate_must_be_for_the_checks_host_else_the_backends(host: str, address: Address, name: str) -> None:
    assert https.server_name(HealthCheck(host=host), address) == name
