"""Events over a real connection."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
from asgi_client import ask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance.admin.application import admin_app
from balance.admin.events.history import MAX_SUBSCRIBERS, MAX_WAITING
from balance.admin.events.stream import EventStream
from balance.admin.serving.server import AdminServer
from balance.admin.state_view import StateView


@contextlib.asynccontextmanager
async def serving(view: StateView, app: Starlette | None = None) -> AsyncIterator[tuple[int, AdminServer]]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = AdminServer(app or admin_app(view, is_local_only=True))
    server.start([sock], "an admin server under test")
    try:
        yield sock.getsockname()[1], server
    finally:
        view.events.close()
        await server.stop()


class Reader:
    """One reader of events, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, path: str = "/events", fields: str = "") -> "Reader":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
        opened = cls(reader, writer)
        opened.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return opened

    head = ""

    async def until(self, start: bytes) -> bytes:
        async with asyncio.timeout(20):
            while True:
                line = await self.lines.readline()
                assert line, "the stream has ended"
                if line.startswith(start):
                    return line.strip()

    def leave(self) -> None:
        self._writer.transport.abort()


def test_events_come_as_they_happen_and_again_after_a_break(view: StateView) -> None:
    async def main() -> None:
        async with serving(view) as (port, _):
            reader = await Reader.open(port)
            assert reader.head.startswith("HTTP/1.1 200 OK\r\n")
            assert "content-type: text/event-stream" in reader.head
            await reader.until(b": hello")
            view.events.publish("backend", "first\nline", name="a1")
            number = (await reader.until(b"id: ")).removeprefix(b"id: ").decode()
            assert await reader.until(b"event: ") == b"event: backend"
            data = json.loads((await reader.until(b"data: ")).removeprefix(b"data: "))
            assert (data["kind"], data["text"], data["name"]) == ("backend", "first\nline", "a1")
            reader.leave()
            view.events.publish("worker", "second")
            again = await Reader.open(port, fields=f"Last-Event-ID: {number}\r\n")
            assert json.loads((await again.until(b"data: ")).removeprefix(b"data: "))["text"] == "second"
            everything = await Reader.open(port, "/events?since=0")
            assert json.loads((await everything.until(b"data: ")).removeprefix(b"data: "))["text"] == "first\nline"
            again.leave()
            everything.leave()

    asyncio.run(main())


def test_a_reader_that_does_not_read_is_cut_off(view: StateView) -> None:
    async def main() -> None:
        async with serving(view) as (port, server):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            await asyncio.get_running_loop().sock_sendall(sock, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await asyncio.get_running_loop().sock_recv(sock, 1)
            async with asyncio.timeout(30):
                while server.server_state.connections:  # it goes although nobody reads what is under way
                    for _ in range(MAX_WAITING // 2):
                        view.events.publish("noise", "x" * 20_000)
                    await asyncio.sleep(0)
            assert not view.events._subscriptions
            sock.close()

    asyncio.run(main())


def test_a_reader_that_leaves_makes_room_for_another(view: StateView) -> None:
    async def main() -> None:
        async with serving(view) as (port, _):
            readers = [await Reader.open(port) for _ in range(MAX_SUBSCRIBERS)]
            refused = await Reader.open(port)
            assert refused.head.startswith("HTTP/1.1 503 ")
            readers[0].leave()
            async with asyncio.timeout(20):
                while len(view.events._subscriptions) == MAX_SUBSCRIBERS:  # noqa: ASYNC110  # it has no other sign
                    await asyncio.sleep(0)
            assert (await Reader.open(port)).head.startswith("HTTP/1.1 200 ")

    asyncio.run(main())


def test_an_idle_stream_shows_that_it_lives(view: StateView) -> None:
    async def quick(request: Request) -> Response:
        return EventStream(view.events, None, heartbeat_s=0.01)

    async def main() -> None:
        async with serving(view, Starlette(routes=[Route("/events", quick)])) as (port, _):
            reader = await Reader.open(port)
            await reader.until(b": still here")
            await reader.until(b": still here")
            reader.leave()

    asyncio.run(main())


def test_a_stream_ends_in_order_when_the_instance_does(view: StateView) -> None:
    async def main() -> None:
        async with serving(view) as (port, _):
            reader = await Reader.open(port)
            view.events.close()
            await reader.lines.readuntil(b"\r\n0\r\n\r\n")

    asyncio.run(main())


@pytest.mark.parametrize("since", ["x", "-1", "1" * 30])
def test_a_number_that_is_none_is_refused(view: StateView, since: str) -> None:
    assert ask(admin_app(view, is_local_only=True), f"/events?since={since}").status == 400


def test_head_is_answered_at_once(view: StateView) -> None:
    answer = ask(admin_app(view, is_local_only=True), "/events", "HEAD")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")


def test_what_is_remembered_can_be_had_at_once(view: StateView) -> None:
    view.events.publish("worker", "first")
    view.events.publish("worker", "second")
    known = ask(admin_app(view, is_local_only=True), "/events?follow=false").json["events"]
    assert [(each["kind"], each["text"]) for each in known] == [("worker", "first"), ("worker", "second")]
    later = ask(admin_app(view, is_local_only=True), f"/events?follow=false&since={known[0]['number']}").json["events"]
    assert [each["text"] for each in later] == ["second"]


def test_half_a_character_in_an_event_is_escaped_and_breaks_no_stream(view: StateView) -> None:
    view.events.publish("reload", "no pool \ud800")
    (known,) = ask(admin_app(view, is_local_only=True), "/events?follow=false").json["events"]
    assert known["text"] == "no pool \ud800"

    async def main() -> None:
        async with serving(view) as (port, _):
            reader = await Reader.open(port, "/events?since=0")
            assert json.loads((await reader.until(b"data: ")).removeprefix(b"data: "))["text"] == "no pool \ud800"
            reader.leave()

    asyncio.run(main())
