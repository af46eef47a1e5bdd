"""Reads the ClientHello, a TLS client's first message, as its bytes come (RFC 8446 section 4.1.2, RFC 6066 section 3).

It decides whether a connection is TLS at all, which name it asks for and which protocols it offers, without taking part in the
handshake: for choosing a certificate, and for passing TLS through by its name. The message may be split anywhere, also over
several records (RFC 8446 section 5.1). A message that can't be read is MALFORMED, never one without a name: Traefik once sent
such clients to the default route. The name of an encrypted ClientHello is its outer one; nobody else can read the inner.
"""

from __future__ import annotations

import enum
from typing import Final

MAX_MESSAGE: Final = 16 * 1024  # of the handshake message; ML-KEM shares and large tickets need some thousand bytes
MAX_STREAM: Final = MAX_MESSAGE + 4 * 1024  # with the heads of its records: a record for each byte would be 6 times as much
MAX_RECORD: Final = 2**14  # RFC 8446 section 5.1

_HEADS: Final = 9  # bytes of the head of a record, and of the message in it
_HANDSHAKE: Final = 22  # content type of a record
_CLIENT_HELLO: Final = 1  # type of a handshake message
_SERVER_NAME: Final = 0  # extensions
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_HOST_NAME: Final = 0  # type of an entry in server_name


class HelloState(enum.Enum):
    """What is known of the bytes so far."""

    INCOMPLETE = "incomplete"
    COMPLETE = "complete"
    NOT_TLS = "not_tls"  # another protocol
    MALFORMED = "malformed"  # TLS, but no ClientHello that can be read; SSL 2 too


class ClientHello:
    """`server_name` is in lower case without a final dot, "" where the client names none."""

    __slots__ = ("alpn", "offers_tls13", "server_name")

    def __init__(self, server_name: str, alpn: tuple[bytes, ...] = (), offers_tls13: bool = False) -> None:
        self.server_name = server_name
        self.alpn = alpn
        self.offers_tls13 = offers_tls13


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
        if not self._total and (end := _whole_record(data)):
            self.state = self._read_message(data, _HEADS, end)
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
                if len(message) > 4 + int.from_bytes(message[1:4], "big"):
                    return HelloState.MALFORMED  # RFC 8446 section 5.1: nothing follows it in its record
                return self._read_message(bytes(message), 4, len(message))
        del record[:begin]
        return HelloState.INCOMPLETE

    def _read_message(self, data: bytes, begin: int, end: int) -> HelloState:
        try:
            self.hello = _parse(data, begin, end)
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


def _whole_record(data: bytes) -> int:
    """The end of a first record that has the whole message and nothing else, as nearly all have. 0: look closer."""
    if len(data) < _HEADS or data[0] != _HANDSHAKE or data[1] != 3 or data[5] != _CLIENT_HELLO or data[6]:
        return 0
    length = data[7] << 8 | data[8]
    if length > MAX_MESSAGE - 4 or data[3] << 8 | data[4] != 4 + length or len(data) < _HEADS + length:
        return 0
    return _HEADS + length


# By index, not by pieces: a reader that cut the message up took 2 % of a handshake.


def _parse(data: bytes, at: int, end: int) -> ClientHello:
    """The message's body is data[at:end]. _Malformed where a field goes beyond its frame."""
    at += 2 + 32  # legacy_version, random
    if at >= end or data[at] > 32:  # legacy_session_id
        raise _Malformed
    at += 1 + data[at]
    if at + 2 > end:
        raise _Malformed
    size = data[at] << 8 | data[at + 1]  # of the cipher suites
    at += 2 + size
    if at >= end or not size or size & 1 or not data[at]:  # and legacy_compression_methods
        raise _Malformed
    at += 1 + data[at]
    if at == end:  # TLS 1.2 and older may have no extensions
        return ClientHello("")
    if at + 2 > end or at + 2 + (data[at] << 8 | data[at + 1]) != end:
        raise _Malformed
    return _extensions(data, at + 2, end)


def _extensions(data: bytes, at: int, end: int) -> ClientHello:
    name = ""
    alpn: tuple[bytes, ...] = ()
    offers_tls13 = False
    low = 0  # a bit for each of the first that were seen: most are among them
    others = set()
    while at < end:
        if at + 4 > end:
            raise _Malformed
        kind = data[at] << 8 | data[at + 1]
        content = at + 4
        at = content + (data[at + 2] << 8 | data[at + 3])
        if at > end:
            raise _Malformed
        # RFC 8446 section 4.2: one of each; GREASE values (RFC 8701) are known to nobody, and not looked into.
        if kind < 60:
            if low >> kind & 1:
                raise _Malformed
            low |= 1 << kind
            if kind == _SERVER_NAME:
                name = _server_name(data, content, at)
            elif kind == _ALPN:
                alpn = _alpn(data, content, at)
            elif kind == _SUPPORTED_VERSIONS:  # RFC 8446 section 4.2.1
                offers_tls13 = _has_tls13(data, content + 1, at)  # behind its length; a wrong one is for OpenSSL to refuse
        elif kind in others:
            raise _Malformed
        else:
            others.add(kind)
    return ClientHello(name, alpn, offers_tls13)


def _has_tls13(data: bytes, at: int, end: int) -> bool:
    while at + 1 < end:
        if data[at] == 3 and data[at + 1] == 4:
            return True
        at += 2
    return False


def _names(data: bytes, at: int, end: int) -> int:
    """Where a list begins that fills the extension; it is not empty."""
    if at + 2 >= end or at + 2 + (data[at] << 8 | data[at + 1]) != end:
        raise _Malformed
    return at + 2


def _server_name(data: bytes, at: int, end: int) -> str:
    at = _names(data, at, end)
    # RFC 6066: one name of each type, and no other type was ever defined. A name is ASCII, without a final dot, which some
    # clients send all the same.
    if at + 3 >= end or data[at] != _HOST_NAME or at + 3 + (data[at + 1] << 8 | data[at + 2]) != end:
        raise _Malformed
    name = data[at + 3 : end].decode("latin-1")
    if len(name) > 255 or not name.isascii() or not name.isprintable() or " " in name:
        raise _Malformed
    return name.lower().removesuffix(".")


def _alpn(data: bytes, at: int, end: int) -> tuple[bytes, ...]:
    at = _names(data, at, end)
    found = []
    while at < end:
        begin = at + 1
        at = begin + data[at]
        if at == begin or at > end:
            raise _Malformed
        found.append(data[begin:at])
    return tuple(found)
