"""The gRPC health check against a real HTTP/2 server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from balance.config.model import BackendConfig, HealthCheck
from balance.http2.errors import NO_ERROR
from balance.http2.frames import LAST_STREAM_ID, goaway
from balance.model import Address
from balance.probes.grpc import LIMIT_BYTES, decode_response, encode_request, probe
from balance.probes.result import Result

Reply = Callable[[H2Connection, int], None]
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class Server:
    """Answers each call with `reply`, after the bytes `before`; remembers what was asked."""

    def __init__(self, reply: Reply, before: bytes = b"") -> None:
        self.asked: dict[str, str] = {}
        self.question = b""
        self._reply = reply
        self._before = before

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.initiate_connection()
        while data := await reader.read(65536):
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.asked = {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, DataReceived):
                    self.question += event.data
                elif isinstance(event, StreamEnded):
                    writer.write(h2.data_to_send() + self._before)
                    self._reply(h2, event.stream_id)
            writer.write(h2.data_to_send())
        writer.close()


def ask(serve: Any, **check: Any) -> Result:
    async def talk() -> Result:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = {"enabled": True, "kind": "grpc", "timeout_s": 5.0} | check
            return await probe(HealthCheck(**settings), BackendConfig("b1", Address("127.0.0.1", port)))

    return asyncio.run(talk())


def message(status: int) -> bytes:
    body = b"\x08" + bytes([status]) if status else b""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def says(status: int, code: str = "0") -> Reply:
    def reply(h2: H2Connection, stream: int) -> None:
        h2.send_headers(stream, HEAD)
        h2.send_data(stream, message(status))
        h2.send_headers(stream, [("grpc-status", code)], end_stream=True)

    return reply


def refuses(code: str, status: str = "200") -> Reply:
    def reply(h2: H2Connection, stream: int) -> None:
        h2.send_headers(stream, [(":status", status), ("grpc-status", code)], end_stream=True)

    return reply


def breaks_off(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, HEAD)
    h2.reset_stream(stream)


def says_nonsense(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, HEAD)
    h2.send_data(stream, b"\x01\x00\x00\x00\x09zip")
    h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)


@pytest.mark.parametrize(
    ("reply", "is_ok", "reason"),
    [
        (says(1), True, "SERVING"),
        (says(2), False, "NOT_SERVING"),
        (says(3), False, "SERVICE_UNKNOWN"),
        (says(0), False, "UNKNOWN"),
        (says(1, "14"), False, "gRPC status 14: unavailable"),
        (refuses("12"), False, "gRPC status 12: it has no health service"),
        (refuses("5"), False, "gRPC status 5: it knows no such service"),
        (refuses("99"), False, "gRPC status 99: no health answer"),
        (refuses("0", "503"), False, "status 503, expected 200"),
        (breaks_off, False, "the call was broken off"),
        (says_nonsense, False, "the answer is not a HealthCheckResponse"),
    ],
)
def test_the_answer_is_judged_by_what_the_health_service_says(reply: Reply, is_ok: bool, reason: str) -> None:
    result = ask(Server(reply).serve)
    assert result[:2] == (is_ok, reason)
    assert result.is_explicit is not is_ok


@pytest.mark.parametrize(
    ("last_id", "is_ok", "reason"),
    [(LAST_STREAM_ID, True, "SERVING"), (1, True, "SERVING"), (0, False, "the server leaves and takes no calls")],
)
def test_a_server_that_leaves_still_answers_what_it_has_taken(last_id: int, is_ok: bool, reason: str) -> None:
    assert ask(Server(says(1), goaway(last_id, NO_ERROR)).serve)[:2] == (is_ok, reason)


def test_an_answer_in_many_small_frames_is_read_to_its_end() -> None:
    def reply(h2: H2Connection, stream: int) -> None:
        h2.send_headers(stream, HEAD)
        for byte in bytes(600):
            h2.send_data(stream, bytes([byte]))
        h2.send_headers(stream, [("grpc-status", "12")], end_stream=True)

    assert ask(Server(reply).serve)[:2] == (False, "gRPC status 12: it has no health service")


def test_the_call_is_the_one_of_the_health_protocol() -> None:
    server = Server(says(1))
    assert ask(server.serve, host="orders.internal:50051", timeout_s=2.5).is_ok
    wanted = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": "orders.internal:50051",
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-timeout": "2500m",
    }
    assert wanted.items() <= server.asked.items()


@pytest.mark.parametrize(
    ("service", "data"),
    [
        ("", b"\x00\x00\x00\x00\x00"),
        ("shop.Orders", b"\x00\x00\x00\x00\x0d\x0a\x0bshop.Orders"),
        ("x" * 200, b"\x00\x00\x00\x00\xcb\x0a\xc8\x01" + b"x" * 200),
    ],
)
def test_the_question_names_the_service(service: str, data: bytes) -> None:
    assert encode_request(service) == data


def test_the_service_that_is_configured_is_asked_about() -> None:
    server = Server(says(1))
    assert ask(server.serve, service="shop.Orders").is_ok
    assert server.question == encode_request("shop.Orders")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (message(1), 1),
        (message(0), 0),
        (b"", None),
        (b"\x00\x00\x00", None),
        (b"\x01" + message(1)[1:], None),
        (b"\x00\x00\x00\x00\x02\x08", None),
        (b"\x00\x00\x00\x00\x03\x12\x01x", None),
    ],
)
def test_an_answer_is_read_or_refused_as_a_whole(data: bytes, status: int | None) -> None:
    assert decode_response(data) == status


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(24)
    writer.close()


async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1000)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    writer.close()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    settings, ping = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"\x00\x00\x08\x06\x01\x00\x00\x00\x00" + b"x" * 8
    writer.write(settings + ping * (2 * LIMIT_BYTES // len(ping)))
    await reader.read(1_000_000)
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (hang, "no answer within 0.2s"),
        (close, "closed without an answer"),
        (http1, "the answer is not HTTP/2"),
        (endless, "more than 64 KB and no answer"),
    ],
)
def test_whatever_is_at_the_other_end_the_probe_comes_back(serve: Any, reason: str) -> None:
    result = ask(serve, timeout_s=0.2 if serve is hang else 5.0)
    assert result[:2] == (False, reason)
