"""The body of a reply on its way through an encoder: its slices, its flushes, and the framing of what comes out.

What was received leaves at once, as the encoder is flushed whenever all that has arrived is encoded: readers of events wait for
them, and whether more is coming is not known. Much at a time is encoded in slices, one in each turn of the event loop, with the
upstream paused meanwhile. Trailers are dropped: those that are worth something are of the bytes before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.compression.encoders import SLICE
from balance.http1.body import Body
from balance.stages.stage import Encoder

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

LAST_CHUNK: Final = b"0\r\n\r\n"


class EncodedReply:
    """Takes what is received from the upstream, like a Body, and gives what is sent to the client."""

    __slots__ = ("_content", "_encoder", "_exchange", "_has_unflushed", "_held", "_is_scheduled", "_position", "is_chunked")

    _content: Body  # decodes the backend's framing; set by begin()

    def __init__(self, exchange: Exchange, encoder: Encoder) -> None:
        self._exchange = exchange
        self._encoder = encoder
        self._held = b""  # received and, from _position on, not encoded
        self._position = 0
        self._has_unflushed = False
        self._is_scheduled = False
        self.is_chunked = True

    @property
    def is_holding(self) -> bool:
        """Slices are waiting for turns of the event loop."""
        return bool(self._held)

    def begin(self, content: Body, data: bytes) -> bytes:
        """The first bytes for the client, of `data` that came with the head. ProtocolError for a malformed body.

        A body that is complete is not chunked: its length is known. To an HTTP/1.0 client none is.
        """
        self._content = content
        self.is_chunked = False
        out = self.feed(data)
        self.is_chunked = not content.is_done and self._exchange.request.minor == 1
        return self._framed(out)

    def feed(self, data: bytes) -> bytes:
        """The bytes for the client of the next slice. ProtocolError for a malformed body."""
        if self._held:
            self._held += data
            data = self._held[self._position : self._position + SLICE]
            self._position += SLICE
            if self._position >= len(self._held):
                self._release()
        elif len(data) > SLICE:
            self._held = data
            self._position = SLICE
            data = data[:SLICE]
            if self._exchange.upstream is not None:
                self._exchange.upstream.pause()
        content = self._content
        data = content.feed(data)
        out = self._encoder.encode(data) if data else b""
        if content.is_done:
            if self._held:  # bytes after the end
                content.rest = self._held[self._position :]
                self._held = b""
            out += self._encoder.finish()
            return self._framed(out, LAST_CHUNK)
        if data:
            self._has_unflushed = True
        if self._held:
            self.schedule()
        elif self._has_unflushed:
            self._has_unflushed = False
            out += self._encoder.flush()
        return self._framed(out)

    def finish(self) -> bytes:
        """The last bytes of a reply that ended with its connection."""
        return self._framed(self._encoder.finish(), LAST_CHUNK)

    def close(self) -> None:
        """The exchange has ended: free what is held. Exchanges and their parts refer to each other: a collection comes late."""
        self._encoder.close()
        self._held = b""

    def schedule(self) -> None:
        """Have the exchange take the next slice in the next turn of the event loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._exchange.settings.worker.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        if self._held:
            self._exchange.next_slice()

    def _release(self) -> None:
        """All that was held is on its way: read on, unless the client holds it back."""
        self._held = b""
        exchange = self._exchange
        if exchange.upstream is not None and not exchange.is_held_back:
            exchange.upstream.resume()

    def _framed(self, out: bytes, end: bytes = b"") -> bytes:
        if not self.is_chunked:
            return out
        return b"%x\r\n%b\r\n%b" % (len(out), out, end) if out else end
