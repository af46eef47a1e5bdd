"""The HTTP health check of a backend that speaks HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from balance.config.model import BackendConfig, HealthCheck
from balance.http2.errors import NO_ERROR
from balance.http2.frames import LAST_STREAM_ID, goaway
from balance.model import Address
from balance.probes.http import probe
from balance.probes.result import Result

Answer = Callable[[H2Connection, int], None]


def ask(answer: Answer | bytes, seen: list[dict[str, str]] | None = None, before: bytes = b"", **check: Any) -> Result:
    """One probe of a server over HTTP/2, or of one that answers with these bytes. `before`: sent before an answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(answer, bytes):
            await reader.read(100)
            writer.write(answer)
            await reader.read()
            return
        peer = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        peer.initiate_connection()
        while True:
            writer.write(peer.data_to_send())
            data = await reader.read(65536)
            if not data:
                break
            for event in peer.receive_data(data):
                if isinstance(event, RequestReceived) and seen is not None:
                    seen.append({str(name): str(value) for name, value in event.headers})
                if isinstance(event, StreamEnded):
                    writer.write(peer.data_to_send() + before)
                    answer(peer, event.stream_id)
        writer.close()

    async def talk() -> Result:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = {"enabled": True, "kind": "http", "timeout_s": 5.0} | check
            backend = BackendConfig("b1", Address("127.0.0.1", port), protocol="h2c")
            return await probe(HealthCheck(**settings), backend)

    return asyncio.run(talk())


def says(status: int = 200, *parts: bytes) -> Answer:
    def answer(peer: H2Connection, stream_id: int) -> None:
        peer.send_headers(stream_id, [(":status", str(status))], end_stream=not parts)
        for number, part in enumerate(parts, start=1):
            peer.send_data(stream_id, part, end_stream=number == len(parts))

    return answer


def test_the_request_is_that_of_the_check() -> None:
    seen: list[dict[str, str]] = []
    found = ask(says(), seen, path="/up", method="HEAD", host="app.example", headers=(("X-Token", "t"),))
    assert found.is_ok
    request = seen[0]
    assert request.pop("user-agent").startswith("balance-health/")
    expected = {
        ":method": "HEAD",
        ":scheme": "http",
        ":authority": "app.example",
        ":path": "/up",
        "x-token": "t",
        "accept": "*/*",
    }
    assert request == expected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says(200, b"all is ", b"fine"), "status 200"),
        (says(503), "status 503, expected 200"),
        (says(200, b"bad"), "status 200, but the body does not contain 'fine'"),
        (lambda peer, stream_id: peer.reset_stream(stream_id, 2), "the stream was reset with code 2"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", "this is not HTTP/2"),
    ],
)
def test_status_and_body_decide(answer: Answer | bytes, reason: str) -> None:
    found = ask(answer, expected_body="fine")
    assert found.is_ok is (reason == "status 200")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("last_id", "is_ok", "reason"),
    [(LAST_STREAM_ID, True, "status 200"), (1, True, "status 200"), (0, False, "the connection takes no requests")],
)
def test_a_server_that_leaves_still_answers_what_it_has_taken(last_id: int, is_ok: bool, reason: str) -> None:
    found = ask(says(200, b"fine"), before=goaway(last_id, NO_ERROR))
    assert found.is_ok is is_ok
    assert reason in found.reason


def test_an_answer_in_many_small_frames_is_read_to_its_end() -> None:
    assert ask(says(200, *[b"x"] * 600, b"fine"), expected_body="fine", timeout_s=2.0).is_ok


def test_who_is_asked_at_another_port_is_asked_with_http1() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async def talk() -> Result:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            check = HealthCheck(enabled=True, kind="http", timeout_s=5.0, port=port)
            return await probe(check, BackendConfig("b1", Address("127.0.0.1", 1), protocol="h2c"))

    assert asyncio.run(talk()).is_ok
