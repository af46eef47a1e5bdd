"""Gives OpenSSL what a peer sends by a few records at a time, and ends a connection whose records have no data.

TLS allows records that bring the application nothing: key updates, warnings, empty ones. OpenSSL 3 takes key updates without
end, 23 us for each 27 bytes, and answers those that ask for it, whether the peer reads or not. It takes all that have come in
one turn of the event loop: some hundred milliseconds in which nobody else is served. BoringSSL and Go's crypto/tls have a
bound, too.

Mostly one whole record has come, with a request or a part of a body, which read() passes on at once. OpenSSL is asked for no
more than a record can have: room for 256 KB may be a system call or three.
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


class RecordFeed:
    """What a TlsTransport reads from, around what an ssl.SSLObject has in C."""

    __slots__ = ("_counted_at", "_dataless", "_engine", "_fed", "_incoming", "_is_idle", "_left", "_missing", "_on_flood",
                 "_rest", "is_pending")  # fmt: skip

    def __init__(self, engine: Any, incoming: ssl.MemoryBIO, fed: ssl.MemoryBIO, on_flood: Callable[[], None]) -> None:
        """`engine` reads from `fed`: whole records, and a long one as it comes. The transport fills `incoming`.

        `on_flood` is called when the bound is passed.
        """
        self._engine = engine
        self._incoming = incoming
        self._fed = fed
        self.is_pending = False  # read() has something without more from the peer, roughly
        self._is_idle = (
            True  # nothing that has been taken from `incoming` is to be read yet, and OpenSSL is between two records
        )
        self._rest = b""  # taken from `incoming`, and follows what was fed: the begin of a record at least, shorter than PIECE
        self._missing = 0  # bytes of the record that was fed last which have not come
        self._left = 0  # records that were fed, without those whose data was read
        self._dataless = 0  # records without data, in parts of one
        self._counted_at = 0.0
        self._on_flood = on_flood

    def do_handshake(self) -> bool:
        """Go on with what has come; whether it is done. ssl.SSLError when it fails."""
        # OpenSSL is asked when it has something to read, as each time that it wants more costs as much as a request.
        while self._feed(1):  # what follows the last one is read as data
            self._left = 0
            try:
                self._engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        else:
            return False
        self._is_idle = not self._rest and not self._fed.pending
        self._tell_pending()
        return True

    def read(self, most: int) -> bytes:
        """Up to `most` bytes of what there is; b"" at the peer's close_notify. SSLWantReadError where there is nothing."""
        if self._is_idle:
            record = self._incoming.read(PIECE)
            size = len(record)
            if size > HEADER and size == HEADER + (record[3] << 8 | record[4]):
                self._fed.write(record)
                try:
                    data: bytes = self._engine.read(most if most < PIECE else PIECE)
                except ssl.SSLWantReadError:
                    self._left = 1
                else:
                    if len(data) == most and self._engine.pending():  # the rest of it is read later
                        self._is_idle = False
                        self._left = 1
                        self.is_pending = True
                    elif self._dataless:
                        self._dataless -= 1
                    return data
            else:
                self._rest = record
            self._is_idle = False
        try:
            return self._read_held(min(most, MAX_RECORD))
        finally:
            self._tell_pending()

    def _read_held(self, most: int) -> bytes:
        engine = self._engine
        while True:
            if self._missing or not (self._fed.pending or engine.pending()):
                if self._left and not self._missing:
                    self._count_dataless()
                if not self._feed(MAX_DATALESS):
                    self._is_idle = not self._rest and not self._missing
                    raise ssl.SSLWantReadError
            try:
                data: bytes = engine.read(most)
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
        self.is_pending = not self._missing and bool(is_whole or self._fed.pending or self._engine.pending())

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
