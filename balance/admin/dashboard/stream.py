"""The stream of the dashboard (server-sent events, WHATWG HTML section 9.2): the whole state first, then what changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from balance.admin.dashboard.feed import MAX_STREAMS, Feed, FeedReader
from balance.background_tasks import spawn

HEARTBEAT_S = 15.0  # a comment: keeps the connection alive through proxies, and detects dead readers
RETRY_MS = 2000  # until a browser comes again
# Proxies and compressors are not to hold it back.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
ENDS = {
    "session": "you are not signed in any more",
    "tokens": "who may look was changed",
    "closing": "the process that serves this page ends; come again",
}


class StateStream(Response):
    """A response that goes on until the reader goes, or may look no more."""

    media_type = "text/event-stream"

    def __init__(
        self,
        feed: Feed,
        viewer: dict[str, Any],
        chart: Callable[[], dict[str, Any]],
        is_valid: Callable[[], bool],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(b"", headers=HEADERS)
        del self.headers["content-length"]  # it has no end
        self._feed = feed
        self._viewer = viewer
        self._chart = chart
        self._is_valid = is_valid
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = self._feed.open(self._is_valid)
        if reader is None:
            text = f"{MAX_STREAMS} dashboards are open already; ask /dashboard/state every few seconds instead"
            raise HTTPException(503, text, {"Retry-After": "10"})
        with reader:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            leaving = spawn(_await_disconnect(receive, reader.close), "a dashboard's watch")
            try:
                await send(_body(f"retry: {RETRY_MS}\n\n".encode()))
                await self._send(reader, send)
            finally:
                leaving.cancel()
        if reader.ended:
            end = {"why": reader.ended, "text": ENDS.get(reader.ended, reader.ended)}
            await send(_body(event("end", json.dumps(end).encode())))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, reader: FeedReader, send: Send) -> None:
        is_first = True
        while (found := await reader.next(self._heartbeat_s)) is not None:
            whole, frames = found
            if whole is not None:
                await send(_body(event("state", with_viewer(whole, self._viewer), frames[0].seq)))
                if is_first:
                    is_first = False
                    await send(_body(event("history", json.dumps(self._chart(), separators=(",", ":")).encode())))
            else:
                await send(_body(b"".join(event("delta", frame.data, frame.seq) for frame in frames) or b": still here\n\n"))


def with_viewer(whole: bytes, viewer: dict[str, Any]) -> bytes:
    """The JSON of the document, which is the same for all, with what is said of who looks."""
    return b'{"viewer":' + json.dumps(viewer, ensure_ascii=False).encode(errors="backslashreplace") + b"," + whole[1:]


def event(kind: str, data: bytes, number: int | None = None) -> bytes:
    """One event. `data` has no line break: JSON writes none."""
    name = f"id: {number}\nevent: {kind}\ndata: " if number is not None else f"event: {kind}\ndata: "
    return name.encode() + data + b"\n\n"


async def _await_disconnect(receive: Receive, on_disconnect: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    on_disconnect()


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}
