"""The second opinion: llhttp, strict, reads the same bytes. Where it and our own framing disagree, the message is refused.

What httptools 0.9 does not tell shapes this file: it has no way to say "this reply answers a HEAD", so a head is witnessed as
if it answered a GET, and it has no pause, so a witness is fed one message at a time.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from balance.http1.framing import BY_CLOSE, BY_LENGTH, NO_BODY, Framing

_FILLER = memoryview(bytes(65536))


class _Ends:
    """The only callback that is needed; each one that exists costs its call."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: int = 0

    def on_message_complete(self) -> None:
        self.count += 1


class LlhttpCheck:
    """Reads heads of many connections, one after the other, with one parser for as long as it stays clean."""

    __slots__ = ("_ends", "_make", "_parser")

    def __init__(self, make: type[HttpRequestParser] | type[HttpResponseParser]) -> None:
        self._make = make
        self._ends = _Ends()
        self._parser = make(self._ends)

    def agrees(self, head: bytes, framing: Framing, length: int, *, reusable: bool) -> bool:
        """Whether llhttp, too, reads `head` as one head followed by a body of this framing and length.

        `reusable`: the head leaves the connection open, as far as we can tell; llhttp stops reading after one that closes.
        """
        # llhttp keeps more of a message than we know of (`Proxy-Connection: close` closes its ears as well), so only a parser
        # without a past may refuse: the second reading is by a new one.
        return self._reads(head, framing, length, reusable) or self._reads(head, framing, length, reusable)

    def _reads(self, head: bytes, framing: Framing, length: int, reusable: bool) -> bool:
        """One reading, after which the parser is a new one unless the message left it as it was."""
        ends = self._ends
        ends.count = 0
        try:
            self._parser.feed_data(head)
            if framing is BY_LENGTH or framing is BY_CLOSE:
                # A body of that many bytes must end exactly there: shorter or longer readings raise or don't end. Chunks are
                # left to the LlhttpBodyCheck.
                self._parser.feed_data(_FILLER[:length] if framing is BY_LENGTH else _FILLER)
            has_end = framing is NO_BODY or (framing is BY_LENGTH and length <= len(_FILLER))
            agreed = ends.count == (1 if has_end else 0)
            clean = agreed and has_end and reusable
        except HttpParserUpgrade as upgrade:
            agreed = framing is NO_BODY and upgrade.args[0] == len(head)
            clean = False
        except HttpParserError:
            agreed = clean = False
        if not clean:
            self._parser = self._make(self._ends)
        return agreed


_CHUNKS_FOLLOW = {
    HttpRequestParser: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    HttpResponseParser: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
}


class LlhttpBodyCheck:
    """Reads one chunked body to its end, behind a head that says no more than that it is chunked: the message's own has been
    witnessed, and may offer an upgrade, at which this parser would stop."""

    __slots__ = ("_ends", "_parser")

    def __init__(self, make: type[HttpRequestParser] | type[HttpResponseParser]) -> None:
        self._ends = _Ends()
        self._parser = make(self._ends)
        self._parser.feed_data(_CHUNKS_FOLLOW[make])

    def agrees(self, data: bytes | memoryview, *, ended: bool) -> bool:
        """Feed what our own framing took for the body's next bytes; `ended` says that it found the end there."""
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            return False
        return self._ends.count == (1 if ended else 0)
