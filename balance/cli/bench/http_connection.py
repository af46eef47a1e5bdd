"""A connection over HTTP/1.1: where each reply ends, by its shape where one was seen before, else by llhttp.

A server's replies are alike: a head of the same length, with the same status line and the same Content-Length in the same
place, while Date and a request id differ. Such a shape is remembered from a reply that llhttp read whole, and the next of it
costs three looks at the bytes. Whatever is of no known shape (chunks, another length, a first reply, errors) is for llhttp.
"""

from __future__ import annotations

import re
from time import monotonic_ns
from typing import Final

import httptools

from balance.cli.bench.connection import IDLE, READING, Connection, Owner, Shared
from balance.cli.bench.histogram import SUB_BITS

LENGTH: Final = re.compile(rb"\r\nContent-Length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
FRAMING: Final = re.compile(rb"\r\n(Content-Length|Transfer-Encoding):", re.IGNORECASE)
MAX_SHAPES: Final = 64
MAX_HEAD: Final = 1 << 20


class Shape:
    """A head that was seen: its length, and what must be the same in the next."""

    __slots__ = ("end", "field", "hits", "start", "status", "status_line", "total")

    def __init__(self, status: int, status_line: bytes, start: int, field: bytes, total: int) -> None:
        self.status = status
        self.status_line = status_line
        self.start = start  # of the field with the length
        self.end = start + len(field)
        self.field = field
        self.total = total  # bytes of the whole reply
        self.hits = 0


class HttpShared(Shared):
    """With the shapes, and what is counted of replies that have none."""

    __slots__ = ("received", "shapes", "statuses")

    def __init__(self, owner: Owner, request: bytes, *, is_closed_loop: bool, reply_size: int | None = None) -> None:
        super().__init__(owner, request, is_closed_loop=is_closed_loop, reply_size=reply_size)
        self.shapes: dict[int, Shape] = {}  # by the length of the head
        self.statuses: dict[int, int] = {}
        self.received = 0

    def clear(self) -> None:
        """Count anew, of what was learned nothing is lost."""
        self.statuses = {}
        self.received = 0
        for shape in self.shapes.values():
            shape.hits = 0

    def status_counts(self) -> dict[int, int]:
        """Replies by status."""
        counts = dict(self.statuses)
        for shape in self.shapes.values():
            if shape.hits:
                counts[shape.status] = counts.get(shape.status, 0) + shape.hits
        return counts

    def bytes_received(self) -> int:
        return self.received + sum(shape.hits * shape.total for shape in self.shapes.values())

    def learn(self, reply: bytes, status: int) -> None:
        """Of a reply that is whole and came at once; only good ones with a length have a shape."""
        end = reply.find(b"\r\n\r\n")
        field = LENGTH.search(reply, 0, end + 2)
        is_counted_by_shape = 200 <= status < 400 and field is not None and int(field[1]) == len(reply) - end - 4
        if field is None or not is_counted_by_shape or end in self.shapes or len(self.shapes) >= MAX_SHAPES:
            return
        line = reply[: reply.find(b"\r\n") + 2]
        head = reply[:end].lower()
        if line.startswith(b"HTTP/1.1 ") and b"\r\nconnection: close" not in head and b"\r\ntransfer-encoding" not in head:
            self.shapes[end] = Shape(status, line, field.start(), field[0], len(reply))


class HttpConnection(Connection):
    """`left` counts the bytes of a reply of a known shape; READING leaves it to the parser."""

    __slots__ = ("_heads", "_is_last", "_open", "_parser", "_replies", "_shapes", "_status")

    _shared: HttpShared

    def __init__(self, shared: HttpShared, began: int = 0) -> None:
        super().__init__(shared, began)
        self._shapes = shared.shapes
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._is_last = False
        self._open = 0  # messages that have begun and not ended
        self._replies = 0  # whole ones, since the parser last got bytes
        self._heads = b""  # what came until the head was whole

    def data_received(self, data: bytes) -> None:
        left = self.left
        if left > 0:
            left -= len(data)
        elif left == 0:
            shape = self._shapes.get(data.find(b"\r\n\r\n"))
            if shape is None or data[shape.start : shape.end] != shape.field or not data.startswith(shape.status_line):
                self._parse(data)
                return
            shape.hits += 1
            left = shape.total - len(data)
        else:
            self._parse(data)
            return
        if left:
            self.left = left
            if left < 0:
                self.abort("more than was asked")
            return
        now = monotonic_ns()
        ns = now - self.began
        shift = ns.bit_length() - SUB_BITS - 1
        self._counts[ns if shift <= 0 else (shift << SUB_BITS) + (ns >> shift)] += 1
        shared = self._shared
        if shared.is_closed_loop and shared.budget > 0:
            shared.budget -= 1
            self.began = self.sent = now
            self.left = 0
            self._transport.write(shared.request)  # type: ignore[union-attr]
        else:
            self.began, self.left = 0, IDLE
            shared.owner.answered(self, now)

    def _parse(self, data: bytes) -> None:
        """Read by llhttp: `on_message_complete` says when the reply is whole."""
        if self.left == IDLE:
            # A server that closes an idle connection may say why (408); nothing was asked, so that nothing is counted.
            self.abort("idle")
            return
        is_first = self.left == 0
        if is_first:
            self._heads, self._status = b"", 0
        self.left = READING
        self._replies = 0
        if not self._status:
            self._heads += data
            if len(self._heads) > MAX_HEAD and b"\r\n\r\n" not in self._heads:
                self.abort("bad reply: an endless head")
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.abort("upgrade")
            return
        except httptools.HttpParserError as error:
            is_http = (data if is_first else self._heads).startswith(b"HTTP/")
            self.abort(f"bad reply: {error}" if is_http else "answers no HTTP")
            return
        self._shared.received += len(data)
        if not self._replies:
            return
        if self._replies > 1 or self._open:
            self.abort("more than was asked")
            return
        if is_first and not self._is_last:
            self._shared.learn(data, self._status)
        self._whole()

    def _whole(self) -> None:
        """The reply is there. One that says no is counted by its status, and its time with nobody: refusing is quick."""
        shared, now = self._shared, monotonic_ns()
        shared.statuses[self._status] = shared.statuses.get(self._status, 0) + 1
        if self._status < 400:
            shared.record(now - self.began)
        if self._is_last:
            self.close()
        self.began, self.left = 0, IDLE
        shared.owner.answered(self, now)

    # What the parser calls

    def on_message_begin(self) -> None:
        self._open += 1

    def on_headers_complete(self) -> None:
        if (status := self._parser.get_status_code()) >= 200:  # an interim reply is none
            self._status = status

    def on_message_complete(self) -> None:
        self._open -= 1
        if self._status:
            self._replies += 1
            self._is_last = not self._parser.should_keep_alive()

    # A reply without a length ends with its connection.

    def eof_received(self) -> None:
        self._end_by_close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._end_by_close()
        super().connection_lost(exc)

    def _end_by_close(self) -> None:
        if self.left == READING and self._status and not self.why and not is_framed(self._heads):
            self._is_last = True
            self._whole()


def is_framed(heads: bytes) -> bool:
    """Whether the final one of these heads says where its body ends."""
    for head in heads.split(b"\r\n\r\n"):
        if head[9:10] != b"1":
            return FRAMING.search(head) is not None
    return True
