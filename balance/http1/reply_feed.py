"""One reply as it arrives: head, then content without its framing, for those who ask and do not forward.

Read by the rules of the data path. Interim replies (1xx) are skipped; a 101 is a reply without content.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpResponseParser

from balance.http1.body import Body
from balance.http1.framing import NO_BODY
from balance.http1.head import Response
from balance.http1.response import MAX_HEAD, ResponseReader, refuse

MAX_INTERIMS: Final = 100  # as in the data path


class ReplyFeed:
    """The reply to one request. How much content is kept, and how long it may take, is decided by whoever feeds."""

    __slots__ = ("_body", "_buffer", "_interims", "_is_head", "_reader", "head", "is_complete", "response")

    def __init__(self, method: str, *, is_tolerant: bool = False) -> None:
        self.response: Response | None = None  # the final one, once its head is complete
        self.head = b""  # its bytes
        self.is_complete = False
        self._is_head = method == "HEAD"
        self._reader = ResponseReader(is_tolerant=is_tolerant)
        self._buffer = b""
        self._body: Body | None = None
        self._interims = 0

    @property
    def status(self) -> int:
        """Of the final response; 0 before its head is complete."""
        return 0 if self.response is None else self.response.status

    @property
    def rest(self) -> bytes:
        """What came after the reply."""
        return b"" if self._body is None else self._body.rest

    @property
    def ends_at_close(self) -> bool:
        """Whether the end of its content is the end of the connection."""
        return self._body is not None and self._body.ends_at_close

    def feed(self, data: bytes) -> bytes:
        """The content in received bytes. ProtocolError (502) when the data path would not pass them on."""
        while data and self._body is None:
            seen = len(self._buffer)
            data = self._buffer + data
            end = self._reader.end(data)
            if end < 4 or end > MAX_HEAD:
                self._reader.refuse_partial(data, seen)
                self._buffer = data
                return b""
            self._buffer = b""
            self._take_head(self._reader.read(data[:end]), data[:end])
            data = data[end:]
        if self._body is None or self.is_complete:
            return b""
        content = self._body.feed(data) if data else b""
        self.is_complete = self._body.is_done
        return content

    def end(self) -> None:
        """The connection was closed."""
        self.is_complete |= self.ends_at_close

    def fields(self) -> dict[str, str]:
        """The fields of the head by their names in lower case; what came in several lines is joined by commas."""
        found: dict[str, str] = {}
        for line in self.head.decode("latin-1").split("\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                name, value = name.lower(), value.strip(" \t\r")
                found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    def _take_head(self, response: Response, head: bytes) -> None:
        if response.status < 200 and response.status != 101:
            self._interims += 1
            if self._interims > MAX_INTERIMS:
                raise refuse("interim replies without end")
            return
        self.response = response
        self.head = head
        framing = NO_BODY if self._is_head or response.status == 101 else response.framing
        self._body = Body(framing, response.length, HttpResponseParser, decode=True, is_tolerant=self._reader.is_tolerant)
        self.is_complete = self._body.is_done
