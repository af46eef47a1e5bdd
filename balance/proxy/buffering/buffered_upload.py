"""A request body that is read before a backend is chosen, so that a slow client holds no backend.

When it is whole it goes out with Content-Length, however it came: Django under gunicorn, for one, sees no body in a chunked
request. A body that grows beyond the limit, or finds no room in the worker's budget, is streamed from there on, what is held
first.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpRequestParser

from balance.config.model import HttpConfig
from balance.config.route_model import Buffering
from balance.http1.body import Body
from balance.http1.fields import remove_named
from balance.http1.framing import BY_CHUNKS
from balance.http1.head import RequestFields
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.upload import LINES_AT_ONCE, Upload

_EXPECT: Final = frozenset((b"expect",))
_CHUNKED: Final = frozenset((b"expect", b"transfer-encoding", b"trailer"))  # what a body of known length has none of


def is_buffered(fields: RequestFields, buffering: Buffering) -> bool:
    """Whether the body of this request is read first. A larger one streams from its first byte.

    So does one before an upgrade: it may be the beginning of a conversation.
    """
    return fields.length <= buffering.request_bytes and not fields.upgrade and buffering.request_bytes > 0


class BufferedUpload(Upload):
    """`is_waiting` until it is whole or streams; from then on `kept` has what was read, in the framing in which it goes out."""

    __slots__ = ("_budget", "_bytes", "_counted", "_limit_held", "_total")

    def __init__(
        self, begun: Upload, fields: RequestFields, http: HttpConfig, buffering: Buffering, budget: BufferBudget
    ) -> None:
        """In place of `begun`, with what that has of the body."""
        Upload.__init__(self, fields, http, 0)
        self._room = begun._room
        self._limit = begun._limit
        self.rate = begun.rate
        if fields.framing is BY_CHUNKS:
            self._chunks = Body(BY_CHUNKS, 0, HttpRequestParser, decode=True, underscores=http.underscore_headers)
        self.is_waiting = True
        self._budget = budget
        self._limit_held = buffering.request_bytes
        self._total = buffering.total_bytes
        self._bytes = bytearray()  # one of few large objects, as clients may send bytes singly
        self._counted = 0  # in the budget
        received = b"".join((begun.kept or b"", begun.unread))
        if received:
            self.hold(self.feed(received))
        if self._chunks is not None:
            self._chunks.take_turns(LINES_AT_ONCE)
        self.bytes_in = begun.bytes_in  # with what its parser left out

    def hold(self, out: bytes) -> None:
        """Hold `out`, the last result of feed(); may end the waiting."""
        if not self.is_waiting:
            Upload.hold(self, out)
            return
        size = len(out)
        is_short = self.received <= self._limit_held
        has_room = self._budget.has_room(size, self._total)
        self._bytes += out
        self._counted += size
        self._budget.held += size
        if is_short and not self.is_done and has_room:
            return
        held, self._bytes = bytes(self._bytes), bytearray()
        self.is_waiting = False
        self.is_whole = self.is_done and is_short
        self._budget.count_request(self.received, is_whole=self.is_whole)
        self.kept = held if self.is_whole or self._chunks is None else self._chunks.frame(held)

    def head(self, head: bytes) -> bytes:
        """The request's head for this body: without Expect, which is met here, and with the length of a whole one."""
        line_end = head.find(b"\r\n") + 2
        line, lines = head[:line_end], head[line_end:-2]
        if not self.is_whole or self._chunks is None:
            return b"".join((line, remove_named(lines, _EXPECT), b"\r\n"))
        return b"%b%bContent-Length: %d\r\n\r\n" % (line, remove_named(lines, _CHUNKED), self.received)

    def sent(self, may_repeat: bool) -> None:
        """What is held was sent with the head. A whole body stays kept if the request may be repeated, whatever its size."""
        if not self.is_whole:
            Upload.sent(self, may_repeat)
        elif not may_repeat:
            self.kept = None

    def keep(self, out: bytes) -> None:
        Upload.keep(self, out)
        self.settle()

    def settle(self) -> None:
        if self.kept is None:
            self.release()

    def release(self) -> None:
        self._bytes = bytearray()
        self._budget.held -= self._counted
        self._counted = 0
