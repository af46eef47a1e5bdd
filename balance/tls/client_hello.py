"""Reads the ClientHello, a TLS client's first message, as its bytes come (RFC 8446 section 4.1.2, RFC 6066 section 3).

It decides whether a connection is TLS at all, which name it asks for and which protocols it offers, without taking part in the
handshake: for choosing a certificate, and for passing TLS through by its name. The message may be split anywhere, also over
several records (RFC 8446 section 5.1). A message that can't be read is MALFORMED, never one without a name: Traefik once sent
such clients to the default route. The name of an encrypted ClientHello is its outer one; nobody else can read the inner.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

MAX_MESSAGE: Final = 16 * 1024  # of the handshake message; ML-KEM shares and large tickets need some thousand bytes
MAX_STREAM: Final = MAX_MESSAGE + 4 * 1024  # with the heads of its records: a record for each byte would be 6 times as much
MAX_RECORD: Final = 2**14  # RFC 8446 section 5.1

_HANDSHAKE: Final = 22  # content type of a record
_CLIENT_HELLO: Final = 1  # type of a handshake message
_SERVER_NAME: Final = 0  # extensions
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_TLS13: Final = b"\x03\x04"
_HOST_NAME: Final = 0  # type of an entry in server_name


class HelloState(enum.Enum):
    """What is known of the bytes so far."""

    INCOMPLETE = "incomplete"
    COMPLETE = "complete"
    NOT_TLS = "not_tls"  # another protocol
    MALFORMED = "malformed"  # TLS, but no ClientHello that can be read; SSL 2 too


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_name` is in lower case without a final dot, "" where the client names none."""

    server_name: str
    alpn: tuple[bytes, ...] = ()
    offers_tls13: bool = False


class _Malformed(Exception):
    """The message breaks its format."""


class ClientHelloParser:
    """Feed it bytes while the state is INCOMPLETE."""

    __slots__ = ("_message", "_record", "_total", "hello", "state")

    def __init__(self) -> None:
        self.state = HelloState.INCOMPLETE
        self.hello: ClientHello | None = None  # once COMPLETE
        self._record = bytearray()  # the part of a record that came, with its head
        self._message = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> HelloState:
        """Take the next bytes. Those behind the message are left alone."""
        if self.state is not HelloState.INCOMPLETE:
            return self.state
        self._total += len(data)
        self._record += data
        self.state = self._read_records()
        if self.state is HelloState.INCOMPLETE and self._total > MAX_STREAM:
            self.state = HelloState.MALFORMED
        return self.state

    def _read_records(self) -> HelloState:
        record, message = self._record, self._message
        begin = 0
        while begin < len(record):
            head = record[begin : begin + 5]
            if head[0] != _HANDSHAKE:
                return self._other(head, is_first=not message)
            if len(head) > 1 and head[1] != 3:
                return HelloState.MALFORMED if message else HelloState.NOT_TLS
            if len(head) < 5:
                break
            length = head[3] << 8 | head[4]
            if not 0 < length <= MAX_RECORD:  # an empty handshake record is forbidden
                return HelloState.MALFORMED
            end = begin + 5 + length
            prefix = bytes(message[:4] + record[begin + 5 : min(begin + 9, end)])[:4]
            if not _may_begin(prefix):  # known before the record is complete
                return HelloState.MALFORMED
            if len(record) < end:
                break
            message += record[begin + 5 : end]
            begin = end
            if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
                return self._read_message(bytes(message))
        del record[:begin]
        return HelloState.INCOMPLETE

    def _read_message(self, message: bytes) -> HelloState:
        if len(message) > 4 + int.from_bytes(message[1:4], "big"):
            return HelloState.MALFORMED  # RFC 8446 section 5.1: nothing follows it in its record
        try:
            self.hello = _parse(message[4:])
        except _Malformed:
            return HelloState.MALFORMED
        return HelloState.COMPLETE

    def _other(self, head: bytearray, *, is_first: bool) -> HelloState:
        """The state for a record that is no handshake."""
        if not is_first:
            return HelloState.MALFORMED
        # RFC 5246 appendix E.2: an SSL 2 hello has a length of 2 bytes with its highest bit set, then 1.
        if head[0] & 0x80 and (len(head) < 3 or head[2] == 1):
            return HelloState.INCOMPLETE if len(head) < 3 else HelloState.MALFORMED
        is_tls = head[0] in (20, 21, 23) and (len(head) < 2 or head[1] == 3)  # an alert, say
        if is_tls:
            return HelloState.INCOMPLETE if len(head) < 2 else HelloState.MALFORMED
        return HelloState.NOT_TLS


def _may_begin(prefix: bytes) -> bool:
    """Whether a ClientHello may begin with these bytes, up to 4: its type and length."""
    if prefix and prefix[0] != _CLIENT_HELLO:
        return False
    return len(prefix) < 4 or int.from_bytes(prefix[1:4], "big") <= MAX_MESSAGE


class _Reader:
    """Reads fields of a message; _Malformed where it ends too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise _Malformed
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> _Reader:
        """Bytes behind their length, which has `size` bytes."""
        return _Reader(self.take(self.number(size)))

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]


def _parse(body: bytes) -> ClientHello:
    reader = _Reader(body)
    reader.take(2 + 32)  # legacy_version, random
    if len(reader.vector(1).rest) > 32:  # legacy_session_id
        raise _Malformed
    suites = reader.vector(2).rest
    if not suites or len(suites) % 2:
        raise _Malformed
    if not reader.vector(1).rest:  # legacy_compression_methods
        raise _Malformed
    if reader.is_at_end:  # TLS 1.2 and older may have no extensions
        return ClientHello("")
    extensions = reader.vector(2)
    if not reader.is_at_end:
        raise _Malformed
    name = ""
    alpn: tuple[bytes, ...] = ()
    offers_tls13 = False
    seen = set()
    while not extensions.is_at_end:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind in seen:  # RFC 8446 section 4.2; GREASE values (RFC 8701) are known to nobody, and not looked into
            raise _Malformed
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _server_name(content)
        elif kind == _ALPN:
            alpn = _alpn(content)
        elif kind == _SUPPORTED_VERSIONS:  # RFC 8446 section 4.2.1
            versions = content.rest[1:]  # behind its length; a wrong one is for OpenSSL to refuse
            offers_tls13 = _TLS13 in (versions[at : at + 2] for at in range(0, len(versions), 2))
    return ClientHello(name, alpn, offers_tls13)


def _server_name(content: _Reader) -> str:
    names = content.vector(2)
    if not content.is_at_end or names.is_at_end:
        raise _Malformed
    kind, name = names.number(1), names.vector(2).rest
    # RFC 6066: one name of each type, and no other type was ever defined. A name is ASCII, without a final dot, which some
    # clients send all the same.
    if kind != _HOST_NAME or not names.is_at_end or not 0 < len(name) <= 255:
        raise _Malformed
    if any(byte <= 0x20 or byte >= 0x7F for byte in name):
        raise _Malformed
    return name.decode("ascii").lower().removesuffix(".")


def _alpn(content: _Reader) -> tuple[bytes, ...]:
    names = content.vector(2)
    if not content.is_at_end or names.is_at_end:
        raise _Malformed
    found = []
    while not names.is_at_end:
        name = names.vector(1).rest
        if not name:
            raise _Malformed
        found.append(name)
    return tuple(found)
