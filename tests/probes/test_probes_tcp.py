"""The TCP health check over real sockets."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from balance.config.model import BackendConfig, HealthCheck
from balance.config.schema.schema import CHECKS
from balance.model import Address
from balance.probes import PROBES
from balance.probes.tcp import probe

CHECK = HealthCheck(enabled=True, timeout_s=5.0)


def backend(host: str, port: int, path: str = "") -> BackendConfig:
    return BackendConfig("b1", Address(host, port, path))


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def closed_port() -> int:
    with listening() as sock:
        port: int = sock.getsockname()[1]
        return port


def test_a_port_that_accepts_is_good() -> None:
    with listening() as sock:
        result = asyncio.run(probe(CHECK, backend("127.0.0.1", sock.getsockname()[1])))
    assert result[:2] == (True, "connected")


def test_a_port_that_refuses_is_bad() -> None:
    result = asyncio.run(probe(CHECK, backend("127.0.0.1", closed_port())))
    assert result[:2] == (False, "connection refused")
    assert result.is_explicit


def test_a_full_accept_queue_is_given_up_at_the_timeout() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        check = HealthCheck(enabled=True, timeout_s=0.2)
        result = asyncio.run(probe(check, backend("127.0.0.1", server.getsockname()[1])))
        for filler in fillers:
            filler.close()
    assert result[:2] == (False, "no answer within 0.2s")
    assert not result.is_explicit


def test_the_checks_own_port_is_asked_instead_of_the_backends() -> None:
    with listening() as sock:
        check = HealthCheck(enabled=True, timeout_s=5.0, port=sock.getsockname()[1])
        assert asyncio.run(probe(check, backend("127.0.0.1", closed_port()))).is_ok


def test_the_checks_own_host_is_asked_instead_of_the_backends() -> None:
    with listening() as sock:
        check = HealthCheck(enabled=True, timeout_s=5.0, host="127.0.0.1")
        assert asyncio.run(probe(check, backend("127.0.0.9", sock.getsockname()[1]))).is_ok


def test_unix_sockets_are_asked_too(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    missing = asyncio.run(probe(CHECK, backend("", 0, path)))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        found = asyncio.run(probe(CHECK, backend("", 0, path)))
    assert (missing.reason, found.reason) == ("no such socket file", "connected")


def test_the_table_holds_the_kinds_that_a_configuration_may_name() -> None:
    assert set(PROBES) == set(CHECKS)


@pytest.mark.parametrize(
    ("send", "own", "sent"),
    [
        ("", {}, b""),
        ("v1", {}, b"PROXY UNKNOWN\r\n"),
        ("v2", {}, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        ("v2", {"host": "127.0.0.1"}, b""),  # an agent elsewhere
    ],
)
def test_a_check_sends_the_header_of_a_connection_of_our_own(send: str, own: dict[str, str], sent: bytes) -> None:
    with listening() as sock:
        check = replace(CHECK, send_proxy=send, **own)  # type: ignore[arg-type]
        assert asyncio.run(probe(check, backend("127.0.0.1", sock.getsockname()[1]))).is_ok
        connection, _ = sock.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(100) == sent
