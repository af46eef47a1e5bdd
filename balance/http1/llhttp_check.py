"""Checks message framing with a second parser, llhttp in strict mode: a message on which both disagree is refused.

httptools 0.9 can't be told that a response is to HEAD, so responses are checked as for a GET; and it can't be paused, so that
one message is fed at a time.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from balance.http1.framing import BY_CLOSE, BY_LENGTH, NO_BODY, Framing

_FILLER: Final = memoryview(bytes(65536))


class _MessageCounter:
    """Counts complete messages. No other callbacks, since each one that exists is called."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: int = 0

    def on_message_complete(self) -> None:
        self.count += 1


class LlhttpCheck:
    """Checks heads of many connections with one parser, which is replaced when its state is not clean."""

    __slots__ = ("_ends", "_make", "_parser")

    def __init__(self, make: type[HttpRequestParser] | type[HttpResponseParser]) -> None:
        self._make = make
        self._ends = _MessageCounter()
        self._parser = make(self._ends)

    def agrees(self, head: bytes, framing: Framing, length: int, *, reusable: bool) -> bool:
        """Whether llhttp also reads `head` as one head followed by a body of this framing and length.

        `reusable`: the head leaves the connection open by our reading; llhttp stops after one that closes it.
        """
        # llhttp keeps state between messages (it stops after `Proxy-Connection: close`, too), so a refusal is confirmed with a
        # new parser.
        return self._reads(head, framing, length, reusable) or self._reads(head, framing, length, reusable)

    def _reads(self, head: bytes, framing: Framing, length: int, reusable: bool) -> bool:
        """One check. Replaces the parser unless its state is clean afterwards."""
        ends = self._ends
        ends.count = 0
        try:
            self._parser.feed_data(head)
            if framing is BY_LENGTH or framing is BY_CLOSE:
                # The message must end exactly after that many bytes. LlhttpBodyCheck checks chunked bodies.
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


_CHUNKED_HEADS: Final = {
    HttpRequestParser: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    HttpResponseParser: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
}


class LlhttpBodyCheck:
    """Checks one chunked body, after a minimal head: the message's own head has been checked, and may have an Upgrade, at which
    llhttp would stop."""

    __slots__ = ("_ends", "_parser")

    def __init__(self, make: type[HttpRequestParser] | type[HttpResponseParser]) -> None:
        self._ends = _MessageCounter()
        self._parser = make(self._ends)
        self._parser.feed_data(_CHUNKED_HEADS[make])

    def agrees(self, data: bytes | memoryview, *, ended: bool) -> bool:
        """Whether llhttp reads the next bytes of the body in the same way; `ended`: by our reading it ends with them."""
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            return False
        return self._ends.count == (1 if ended else 0)
