"""Gives OpenSSL what a peer sends by a few records at a time, and ends a connection whose records have no data.

TLS allows records that bring the application nothing: key updates, warnings, empty ones. OpenSSL 3 takes key updates without
end, 23 us for each 27 bytes, and answers those that ask for it, whether the peer reads or not. It takes all that have come in
one turn of the event loop: some hundred milliseconds in which nobody else is served. BoringSSL and Go's crypto/tls have a
bound, too.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

# Records without data, as in BoringSSL; also how many records OpenSSL gets at once. Some clients change their keys by the hour
# or after so many bytes, so a second, or DATA_FOR_ONE records with data, make up for one.
MAX_DATALESS: Final = 32
DATA_FOR_ONE: Final = 64
BATCH: Final = 64 * 1024  # bytes
HEADER: Final = 5  # bytes of a record's header, whose last two are the length of the rest
MAX_RECORD: Final = HEADER + 16384 + 2048  # RFC 5246 section 6.2.3; OpenSSL refuses what is longer when it has the header


class RecordFeed(ssl.SSLObject):
    """What uvloop's TLS reads, writes and asks for pending bytes."""

    _engine: Any  # what is in C
    _incoming: ssl.MemoryBIO  # uvloop fills it
    _fed: ssl.MemoryBIO  # OpenSSL reads it: whole records
    _rest: bytes  # taken from `incoming`, and follows what was fed
    _is_more: bool  # `rest` has a whole record, as far as is known
    _left: int  # records that were fed, without those whose data was read
    _dataless: int  # records without data, in parts of one
    _counted_at: float
    _on_flood: Callable[[], None]

    def begin(self, incoming: ssl.MemoryBIO, fed: ssl.MemoryBIO, on_flood: Callable[[], None]) -> None:
        """`on_flood` is called when the bound is passed."""
        self._engine = self._sslobj  # type: ignore[attr-defined]
        self._incoming = incoming
        self._fed = fed
        self._rest = b""
        self._is_more = False
        self._left = 0
        self._dataless = 0
        self._counted_at = 0.0
        self._on_flood = on_flood
        self.write = self._engine.write  # type: ignore[method-assign]  # SSLObject's own does nothing but call it

    def do_handshake(self) -> None:
        while True:
            try:
                super().do_handshake()
                return
            except ssl.SSLWantReadError:
                if not self._feed(1):  # what follows the last one is read as data
                    raise
                self._left = 0

    def pending(self) -> int:
        """Bytes that read() has something of without more from the peer, roughly."""
        count: int = self._engine.pending() + self._fed.pending
        return count + len(self._rest) if self._is_more else count

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        engine = self._engine
        while True:
            if not self._fed.pending and not engine.pending():
                if self._left:
                    self._count_dataless()
                if not self._feed(MAX_DATALESS):
                    raise ssl.SSLWantReadError
            try:
                data = engine.read(len) if buffer is None else engine.read(len, buffer)
            except ssl.SSLWantReadError:
                if self._fed.pending:
                    raise
                continue  # nothing that was left had data
            if buffer is None or not engine.pending():
                self._left -= 1
                if self._dataless:
                    self._dataless -= 1
            return data

    def _count_dataless(self) -> None:
        now = monotonic()
        made_up = int((now - self._counted_at) * DATA_FOR_ONE)
        self._counted_at = now
        self._dataless = max(0, self._dataless - made_up) + self._left * DATA_FOR_ONE
        self._left = 0
        if self._dataless > MAX_DATALESS * DATA_FOR_ONE:
            self._on_flood()
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "too many records without data")

    def _feed(self, most: int) -> bool:
        """Give OpenSSL up to so many whole records. False when none has come."""
        data = self._incoming.read(BATCH - len(self._rest))
        if self._rest:
            data = self._rest + data
        size = len(data)
        if size < HEADER:
            self._rest = data
            self._is_more = False
            return False
        end = HEADER + (data[3] << 8 | data[4])
        if end == size:  # mostly
            self._rest = b""
            self._is_more = False
            self._left = 1
            self._fed.write(data)
            return True
        fed = count = 0
        while end <= size:
            fed = end
            count += 1
            if count == most or fed + HEADER > size:
                break
            end = fed + HEADER + (data[fed + 3] << 8 | data[fed + 4])
        if not count:
            if end <= MAX_RECORD:
                self._rest = data
                self._is_more = False
                return False
            fed = size  # OpenSSL says what is wrong with it
        self._left = count
        self._fed.write(memoryview(data)[:fed])
        self._rest = data[fed:]
        self._is_more = count == most and fed < size
        return True
