"""One document a second for all streams, as long as there is one; each change is made into bytes once, whoever reads.

A stream that has fallen behind by more than the frames that are kept is given the whole document anew: what waits for a slow
reader is never more than one frame. Nothing is computed while nobody looks. Where a document takes long to make, as one of
thousands of backends does, they come less often: control has backends to check.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from balance.admin.dashboard.state.document import StateDocument
from balance.admin.dashboard.state.merge_patch import patch
from balance.admin.state_view import StateView

INTERVAL_S = 1.0
MAX_INTERVAL_S = 5.0
COST_FACTOR = 100  # the interval is at least so many times what a document costs: a hundredth of a core
MAX_STREAMS = 32  # of the 128 connections of the admin port, besides as many that read events
FRAMES = 8  # that are kept
FRESH_S = 0.5  # a document of that age is good for who asks once


class Frame(NamedTuple):
    """What a stream sends: a patch, to be applied to the document before."""

    seq: int
    data: bytes


class Feed:
    """See the module."""

    def __init__(self, view: StateView, sessions: Callable[[], int] = int) -> None:
        """`sessions` tells how many are signed in."""
        self._view = view
        self._sessions = sessions
        self._maker = StateDocument(view)
        self._document: dict[str, Any] = {}
        self._seq = 0
        self._made_at = 0.0  # monotonic
        self._frames: deque[Frame] = deque(maxlen=FRAMES)
        self._whole: bytes | None = None  # the document as JSON, when somebody has asked for it
        self._streams: set[FeedReader] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._auth = view.config.admin.auth
        self._is_closing = False
        self.interval_s = INTERVAL_S

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    def whole(self) -> tuple[int, bytes]:
        """The number and the JSON of a document that is fresh, or that all streams have."""
        now = time.monotonic()
        if self._timer is None and now - self._made_at > FRESH_S:
            self._make(now)
        if self._whole is None:
            self._whole = _json(self._document)
        return self._seq, self._whole

    def open(self, is_valid: Callable[[], bool]) -> FeedReader | None:
        """A reader of what changes; None when there are too many. `is_valid`: whether who reads still may, asked each time."""
        if len(self._streams) >= MAX_STREAMS:
            return None
        reader = FeedReader(self, is_valid)
        self._streams.add(reader)
        if self._timer is None:
            self.whole()
            self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._tick)
        return reader

    def close(self, reader: FeedReader) -> None:
        """It reads no more."""
        self._streams.discard(reader)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end_all(self, why: str) -> None:
        """End every stream."""
        for reader in list(self._streams):
            reader.end(why)

    def frames_after(self, seq: int) -> list[Frame] | None:
        """What has changed since the document of that number; None when that is not known any more."""
        if seq == self._seq:
            return []
        if not self._frames or self._frames[0].seq > seq + 1:
            return None
        return [frame for frame in self._frames if frame.seq > seq]

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._tick)
        if self._view.config.admin.auth is not self._auth:
            if self._view.config.admin.auth != self._auth:
                self.end_all("tokens")
            self._auth = self._view.config.admin.auth
        for reader in list(self._streams):
            if not reader.is_valid():
                reader.end("session")
        if self._streams:
            self._make(time.monotonic())
            for reader in self._streams:
                reader.wake()

    def _make(self, mono: float) -> None:
        began = time.perf_counter()
        streams, is_ticking = len(self._streams), self._timer is not None
        document = self._maker.make(time.time(), mono, streams=streams, sessions=self._sessions(), in_turns=is_ticking)
        self._seq += 1
        document["seq"] = self._seq
        document["interval_seconds"] = round(self.interval_s, 1)
        if self._streams:
            self._frames.append(Frame(self._seq, _json(patch(self._document, document))))
        else:
            self._frames.clear()
        self._document = document
        self._whole = None
        self._made_at = mono
        cost_s = time.perf_counter() - began
        wanted_s = min(max(INTERVAL_S, COST_FACTOR * cost_s), MAX_INTERVAL_S)
        self.interval_s += (wanted_s - self.interval_s) / 4  # one slow document says little


class FeedReader:
    """One stream's place in the feed; a context manager."""

    def __init__(self, feed: Feed, is_valid: Callable[[], bool]) -> None:
        self._feed = feed
        self.is_valid = is_valid
        self._seq = -1  # of the document that the reader has
        self._has_more = asyncio.Event()
        self._has_more.set()
        self._is_closed = False
        self.ended = ""  # why, when it was ended from here

    def __enter__(self) -> FeedReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def wake(self) -> None:
        self._has_more.set()

    def end(self, why: str) -> None:
        """End it, and say why."""
        self.ended = self.ended or why
        self.close()

    def close(self) -> None:
        """It reads no more."""
        self._feed.close(self)
        self._is_closed = True
        self._has_more.set()

    async def next(self, timeout_s: float) -> tuple[bytes | None, list[Frame]] | None:
        """The whole document or what has changed, when something has; nothing of both on a timeout; None at the end."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._has_more.wait()
        except TimeoutError:
            return None, []
        if self._is_closed:
            return None
        self._has_more.clear()
        frames = self._feed.frames_after(self._seq) if self._seq >= 0 else None
        if frames is None:
            self._seq, whole = self._feed.whole()
            return whole, [Frame(self._seq, b"")]
        if frames:
            self._seq = frames[-1].seq
        return None, frames


def _json(document: dict[str, Any]) -> bytes:
    # A lone surrogate, quoted from a refused order, is written as a JSON escape.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
