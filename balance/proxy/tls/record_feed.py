"""Gives OpenSSL what a peer sends by a few records at a time, and ends a connection whose records have no data.

TLS allows records that bring the application nothing: key updates, warnings, empty ones. OpenSSL 3 takes key updates without
end, 23 us for each 27 bytes, and answers those that ask for it, whether the peer reads or not. It takes all that have come in
one turn of the event loop: some hundred milliseconds in which nobody else is served. BoringSSL and Go's crypto/tls have a
bound, too.

Mostly one whole record has come, with a request or a part of a body, which read() passes on at once. It is all that is Python
here: of SSLObject's own, write() and pending(), which is asked twice for each read, are too. And where uvloop wants 256 KB,
OpenSSL is asked for no more than a record can have: room for 256 KB may be a system call or three.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from balance.tls.client_hello import MAX_RECORD

# Records without data, as in BoringSSL; also how many records OpenSSL gets at once. Some clients change their keys by the hour
# or after so many bytes, so a second, or DATA_FOR_ONE records with data, make up for one.
MAX_DATALESS: Final = 32
DATA_FOR_ONE: Final = 64
PIECE: Final = 4096  # bytes that are looked at at once; of a longer record the rest is passed on unseen
CHANGE_CIPHER_SPEC: Final = 20  # the type of a record
HEADER: Final = 5  # bytes of a record's header, whose last two are the length of the rest
MAX_CIPHERTEXT: Final = HEADER + MAX_RECORD + 2048  # RFC 5246 section 6.2.3; OpenSSL refuses a longer one by its header

_length: Final = len


class RecordFeed(ssl.SSLObject):
    """What uvloop's TLS reads, writes and asks for pending bytes."""

    _engine: Any  # what is in C
    _incoming: ssl.MemoryBIO  # uvloop fills it
    _fed: ssl.MemoryBIO  # OpenSSL reads it: whole records, and a long one as it comes
    _waiting: list[None]  # one entry while read() has something without more from the peer, roughly: pending() is its length
    _is_idle: bool  # nothing that has been taken from `incoming` is to be read yet, and OpenSSL is between two records
    _rest: bytes  # taken from `incoming`, and follows what was fed: the begin of a record at least, shorter than PIECE
    _missing: int  # bytes of the record that was fed last which have not come
    _left: int  # records that were fed, without those whose data was read
    _dataless: int  # records without data, in parts of one
    _counted_at: float
    _on_flood: Callable[[], None]

    def begin(self, incoming: ssl.MemoryBIO, fed: ssl.MemoryBIO, on_flood: Callable[[], None]) -> None:
        """`on_flood` is called when the bound is passed."""
        self._engine = self._sslobj  # type: ignore[attr-defined]
        self._incoming = incoming
        self._fed = fed
        self._waiting = []
        self._is_idle = True
        self._rest = b""
        self._missing = 0
        self._left = 0
        self._dataless = 0
        self._counted_at = 0.0
        self._on_flood = on_flood
        self.write = self._engine.write  # type: ignore[method-assign]
        self.pending = self._waiting.__len__  # type: ignore[method-assign]

    def do_handshake(self) -> None:
        # OpenSSL is asked when it has something to read, as each time that it wants more costs as much as a request.
        while self._feed(1):  # what follows the last one is read as data
            self._left = 0
            try:
                self._engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        else:
            raise ssl.SSLWantReadError
        self._is_idle = not self._rest and not self._fed.pending
        self._tell_pending()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        if self._is_idle:
            record = self._incoming.read(PIECE)
            size = _length(record)
            if size > HEADER and size == HEADER + (record[3] << 8 | record[4]):
                self._fed.write(record)
                try:
                    if buffer is None:
                        data = self._engine.read(len if len < PIECE else PIECE)
                        count = _length(data)
                    else:
                        data = count = self._engine.read(len, buffer)
                except ssl.SSLWantReadError:
                    self._left = 1
                else:
                    if count == len and self._engine.pending():  # the rest of it is read later
                        self._is_idle = False
                        self._left = 1
                        self._waiting.append(None)
                    elif self._dataless:
                        self._dataless -= 1
                    return data
            else:
                self._rest = record
            self._is_idle = False
        try:
            return self._read_held(min(len, MAX_RECORD), buffer)
        finally:
            self._tell_pending()

    def _read_held(self, len: int, buffer: Any) -> Any:
        engine = self._engine
        while True:
            if self._missing or not (self._fed.pending or engine.pending()):
                if self._left and not self._missing:
                    self._count_dataless()
                if not self._feed(MAX_DATALESS):
                    self._is_idle = not self._rest and not self._missing
                    raise ssl.SSLWantReadError
            try:
                data = engine.read(len) if buffer is None else engine.read(len, buffer)
            except ssl.SSLWantReadError:
                if self._fed.pending:
                    raise
                continue  # nothing that was left had data
            if not engine.pending():
                self._left -= 1
                if self._dataless:
                    self._dataless -= 1
                self._is_idle = not self._left and not self._rest
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

    def _tell_pending(self) -> None:
        rest = self._rest
        is_whole = len(rest) >= HEADER and HEADER + (rest[3] << 8 | rest[4]) <= len(rest)
        self._waiting.clear()
        if not self._missing and (is_whole or self._fed.pending or self._engine.pending()):
            self._waiting.append(None)

    def _feed(self, most: int) -> bool:
        """Give OpenSSL up to so many whole records, or what there is of a long one. True when one is whole."""
        if self._missing:
            return self._feed_missing()
        data = self._incoming.read(PIECE - len(self._rest))
        if self._rest:
            data = self._rest + data
            self._rest = b""
        size = len(data)
        fed = count = end = 0
        while fed + HEADER <= size and (
            count < most or (count == 1 and data[0] == CHANGE_CIPHER_SPEC)
        ):  # never a flight's last
            end = fed + HEADER + (data[fed + 3] << 8 | data[fed + 4])
            if end > size:
                break
            fed = end
            count += 1
        if not count and size >= HEADER:  # a long one
            fed = size
            count = 1
            if end <= MAX_CIPHERTEXT:  # else OpenSSL says what is wrong with it
                self._missing = end - size
        if not count:
            self._rest = data
            return False
        self._left = count
        self._fed.write(data if fed == size else memoryview(data)[:fed])
        self._rest = data[fed:]
        return self._feed_missing() if self._missing else True

    def _feed_missing(self) -> bool:
        data = self._incoming.read(self._missing)
        self._fed.write(data)
        self._missing -= len(data)
        return not self._missing
