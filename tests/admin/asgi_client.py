"""Sends one request to an ASGI application, without a server."""

import asyncio
import json
from typing import Any, NamedTuple

from starlette.applications import Starlette


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class RawAnswer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


Client = tuple[str, int] | None
CLIENT: Client = ("127.0.0.1", 5555)


def ask(
    app: Starlette,
    path: str,
    method: str = "GET",
    body: bytes = b"",
    *,
    client: Client = CLIENT,
    **headers: str,
) -> Answer:
    """One request to the application, as its server would hand it over."""
    answer = ask_bytes(app, path, method, body, client=client, **headers)
    return Answer(answer.status, answer.headers, answer.body.decode())


def ask_bytes(
    app: Starlette,
    path: str,
    method: str = "GET",
    body: bytes = b"",
    *,
    client: Client = CLIENT,
    **headers: str,
) -> RawAnswer:
    """The same for a reply that need not be text."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "client": client,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *bodies = sent
    fields = {name.decode(): value.decode() for name, value in start["headers"]}
    return RawAnswer(start["status"], fields, b"".join(body.get("body", b"") for body in bodies))
