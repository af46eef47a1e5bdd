"""The site for uvicorn and hypercorn, and what only a browser and WebSockets need."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pages import BIG, COOKIES, EVENTS, HELLO, OTHERS, PIECES, SECRET, is_admin

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PAGE = (Path(__file__).parent / "page.html").read_bytes()
reports: dict[str, str] = {}  # what browsers found, by who they said they are


async def application(scope: Message, receive: Receive, send: Send) -> None:
    match scope["type"]:
        case "http":
            await Answer(scope, receive, send).give()
        case "websocket":
            await echo_messages(receive, send)
        case "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return


async def echo_messages(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        said = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
        await send({"type": "websocket.send", **said})


class Answer:
    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.fields = {name.decode(): value.decode() for name, value in scope["headers"]}

    async def start(self, status: int, *fields: tuple[str, str]) -> None:
        port = str((self.scope.get("client") or ("", ""))[1])
        lines = [(name.lower().encode(), value.encode()) for name, value in (("X-Remote-Port", port), *fields)]
        await self.send({"type": "http.response.start", "status": status, "headers": lines})

    async def body(self, data: bytes = b"", *, more: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def whole(self, status: int, data: bytes, kind: str, *fields: tuple[str, str]) -> None:
        await self.start(status, ("Content-Type", kind), ("Content-Length", str(len(data))), *fields)
        await self.body(b"" if self.scope["method"] == "HEAD" else data)

    async def request(self) -> bytes:
        parts = []
        while True:
            message = await self.receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    async def give(self) -> None:
        match self.scope["path"].split("/")[1:]:
            case ["hello"] if self.fields.get("if-none-match") == '"v1"':
                await self.start(304, ("ETag", '"v1"'))
                await self.body()
            case ["hello"]:
                await self.whole(200, HELLO, "text/plain", ("ETag", '"v1"'), *COOKIES)
            case ["big"]:
                await self.whole(200, BIG, "application/octet-stream")
            case ["pieces"]:
                await self.start(200, ("Content-Type", "text/plain"))
                for piece in PIECES:
                    await self.body(piece, more=True)
                await self.body()
            case ["events"]:
                await self.start(200, ("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"))
                for event in EVENTS:
                    await self.body(event, more=True)
                    await asyncio.sleep(0.05)
                await self.body()
            case ["status", "204"]:
                await self.start(204, ("Content-Type", "text/plain"))
                await self.body()
            case ["status", code]:
                await self.whole(int(code), b"so.\n", "text/plain")
            case ["away"]:
                await self.whole(302, b"", "text/plain", ("Location", "/hello"))
            case ["refuse"]:
                await self.whole(413, b"too large\n", "text/plain", ("Connection", "close"))
            case ["echo"]:
                data = await self.request()
                told = {
                    "method": self.scope["method"],
                    "query": self.scope["query_string"].decode(),
                    "host": self.fields["host"],
                    "custom": self.fields.get("x-custom", ""),
                    "size": len(data),
                    "sha": hashlib.sha256(data).hexdigest(),
                }
                await self.whole(200, json.dumps(told).encode(), "application/json")
            case ["page"]:
                await self.whole(200, PAGE, "text/html; charset=utf-8")
            case ["report", who]:
                if self.scope["method"] == "POST":
                    reports[who] = (await self.request()).decode()
                await self.whole(200, reports.get(who, "").encode(), "application/json")
            case _ if is_admin(self.scope["path"]):
                await self.whole(200, SECRET, "text/plain")
            case _ if self.scope["path"] in OTHERS:
                await self.whole(200, HELLO, "text/plain")
            case _:
                await self.whole(404, b"", "text/plain")
