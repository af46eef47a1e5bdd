"""Events as server-sent events (WHATWG HTML section 9.2), one connection per subscriber; a slow one is cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from balance.admin.events.history import EventLog, LoggedEvent, Subscription
from balance.admin.json_reply import iso_time
from balance.background_tasks import spawn

HEARTBEAT_S = 15.0  # a comment line: keeps the connection alive through proxies, and detects dead clients
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ABORT = "balance.abort"  # ASGI extension of our server: abort the connection


class EventStream(Response):
    """A response that goes on until the client disconnects."""

    media_type = "text/event-stream"

    def __init__(self, events: EventLog, since: int | None, heartbeat_s: float = HEARTBEAT_S) -> None:
        super().__init__(b"", headers=HEADERS)
        del self.headers["content-length"]  # it has no end
        self._events = events
        self._since = since
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscription = self._events.subscribe(self._since, scope.get("extensions", {}).get(ABORT))
        if subscription is None:
            raise HTTPException(503, "too many read events already; try again later", {"Retry-After": "10"})
        with subscription:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            leaving = spawn(_await_disconnect(receive, subscription.close), "an event reader's watch")
            try:
                await send(_body(b": hello\n\n"))  # so that the client sees at once that it is subscribed
                await _send_events(subscription, send, self._heartbeat_s)
            finally:
                leaving.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_events(subscription: Subscription, send: Send, heartbeat_s: float) -> None:
    while (happened := await subscription.next(heartbeat_s)) is not None:
        await send(_body(b"".join(map(_event, happened)) or b": still here\n\n"))


async def _await_disconnect(receive: Receive, on_disconnect: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    on_disconnect()


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def event_document(event: LoggedEvent) -> dict[str, Any]:
    """An event as JSON, without its number."""
    return {"at": iso_time(event.at), "kind": event.kind, "text": event.text, **event.fields}


def _event(event: LoggedEvent) -> bytes:
    data = json.dumps(event_document(event), ensure_ascii=False)  # one line: JSON writes no bare line break
    # A lone surrogate, quoted from a refused order, is written as a JSON escape.
    return f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n".encode(errors="backslashreplace")


def parse_since(request: Request) -> int | None:
    """The event number to continue after: Last-Event-ID, as browsers send it, or ?since=. None: only new events."""
    text = request.headers.get("last-event-id") or request.query_params.get("since", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise HTTPException(400, f"{text[:40]!r} is no event's number; write ?since=0 for all that is remembered")
    return int(text)
