"""The events of the stream, as a browser reads them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from balance.admin.dashboard import feed as feed_module
from balance.admin.dashboard.feed import MAX_STREAMS, Feed
from balance.admin.dashboard.stream import StateStream, with_viewer
from balance.admin.state_view import StateView

VIEWER = {"may_change": True, "name": 'o"p\u2028s'}


def events(sent: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """The events of a stream that was sent in pieces; the bytes alone say where one ends."""
    text = b"".join(each.get("body", b"") for each in sent).decode()
    found = []
    for part in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in part.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


class Reader:
    """An ASGI client that goes when it has got `count` pieces."""

    def __init__(self, count: int) -> None:
        self.sent: list[dict[str, Any]] = []
        self._count = count
        self._has_gone = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self._has_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if len(self.sent) >= self._count:
            self._has_gone.set()


def stream(feed: Feed, view: StateView, heartbeat_s: float = 5.0) -> StateStream:
    return StateStream(feed, VIEWER, view.traffic.chart, lambda: True, heartbeat_s)


def test_the_whole_comes_first_then_the_past_then_what_changes(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        feed.interval_s = 0.01
        reader = Reader(6)
        await stream(feed, view)({"type": "http"}, reader.receive, reader.send)
        start = dict(reader.sent[0]["headers"])
        assert start[b"content-type"].startswith(b"text/event-stream")
        assert start[b"cache-control"] == b"no-store, no-transform"
        assert start[b"x-accel-buffering"] == b"no"
        assert b"content-length" not in start
        kinds = [kind for kind, _ in events(reader.sent)]
        assert kinds[:3] == ["state", "history", "delta"]
        assert events(reader.sent)[0][1]["viewer"] == VIEWER
        assert all("viewer" not in document for kind, document in events(reader.sent) if kind == "delta")
        assert feed.streams == 0

    asyncio.run(run())


def test_a_comment_comes_when_nothing_else_does(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        feed.interval_s = 60.0
        reader = Reader(6)
        await stream(feed, view, heartbeat_s=0.01)({"type": "http"}, reader.receive, reader.send)
        assert b": still here\n\n" in [each.get("body") for each in reader.sent]

    asyncio.run(run())


def test_the_end_is_told(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        reader = Reader(1000)
        task = asyncio.ensure_future(stream(feed, view)({"type": "http"}, reader.receive, reader.send))
        for _ in range(20):
            await asyncio.sleep(0)
        feed.end_all("closing")
        await task
        kind, document = events(reader.sent)[-1]
        assert (kind, document["why"]) == ("end", "closing")
        assert reader.sent[-1]["more_body"] is False

    asyncio.run(run())


def test_one_too_many_is_told_to_ask_instead(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        feed = Feed(view)
        readers = [feed.open(lambda: True) for _ in range(MAX_STREAMS)]
        reader = Reader(1)
        with pytest.raises(HTTPException) as refused:
            await stream(feed, view)({"type": "http"}, reader.receive, reader.send)
        assert refused.value.status_code == 503
        assert "/dashboard/state" in refused.value.detail
        for each in readers:
            assert each is not None
            each.close()

    asyncio.run(run())


def test_a_reader_that_never_reads_keeps_nothing_but_what_it_was_sent(view: StateView) -> None:
    async def run() -> None:
        feed = Feed(view)
        stuck = asyncio.Event()
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) > 2:
                await stuck.wait()  # as uvicorn does while the connection takes no more

        async def receive() -> Any:
            await asyncio.Event().wait()

        task = asyncio.ensure_future(stream(feed, view)({"type": "http"}, receive, send))
        other = feed.open(lambda: True)
        assert other is not None
        for _ in range(2 * feed_module.FRAMES):
            feed.interval_s = 0.002  # which a feed makes longer by itself
            await other.next(5)
        assert len(sent) == 3 and len(feed._frames) <= feed_module.FRAMES
        other.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert feed.streams == 0

    asyncio.run(run())


def test_what_is_said_of_who_looks_stands_first() -> None:
    document = json.loads(with_viewer(b'{"schema":1,"a":{}}', VIEWER))
    assert document == {"viewer": VIEWER, "schema": 1, "a": {}}
