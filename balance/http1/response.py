"""Reading a reply's head (RFC 9112 sections 4 and 5), as strictly as a request's: a backend's ambiguity is answered 502."""

from __future__ import annotations

import re

from httptools import HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.fields import INVALID, PROTECTED, Kind, kind_of, members, options
from balance.http1.framing import response_framing, show
from balance.http1.head import Response
from balance.http1.witness import Witness
from balance.model import Why

MAX_HEAD = 64 * 1024  # bytes; nginx's proxy_buffer_size is 4-8k, Envoy's bound 60k
MAX_FIELDS = 200
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?i)(?:^|[,\s;])timeout\s*=\s*([0-9]{1,6})(?=$|[,\s;])")

_TAKEN_OUT = frozenset((Kind.TRANSFER_ENCODING, Kind.CONNECTION, Kind.KEEP_ALIVE, Kind.UPGRADE))
_REMEMBERED = 512
_REMEMBERED_BYTES = 2048


def refuse(detail: str) -> ProtocolError:
    """A reply that goes no further."""
    return ProtocolError(502, Why.BAD_RESPONSE, detail)


class ResponseReader:
    """Reads heads of replies. What a head said is remembered by its bytes: within a second, many are the same."""

    __slots__ = ("_remembered", "_witness")

    def __init__(self) -> None:
        self._witness = Witness(HttpResponseParser)
        self._remembered: dict[bytes, Response] = {}

    def read(self, head: bytes) -> Response:
        """The reply of one complete head, which ends with its empty line. ProtocolError (502)."""
        response = self._remembered.get(head)
        if response is not None:
            return response
        response = parse_response(head)
        if not self._witness.agrees(head, response.framing, response.length, reusable=response.keep_alive):
            raise refuse("the reply's head can be read in more than one way")
        if len(head) <= _REMEMBERED_BYTES:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[head] = response
        return response


def parse_response(head: bytes) -> Response:
    """What a complete head says. ProtocolError (502)."""
    match = _STATUS_LINE.match(head)
    if match is None:
        raise refuse(f"{show(head[: head.find(13)])} is not a status line")
    minor = int(match[1])
    response = Response(int(match[2]))
    block = head[match.end() :]
    lines = block[:-4].split(b"\r\n") if len(block) > 2 else []
    if len(lines) > MAX_FIELDS:
        raise refuse(f"more than {MAX_FIELDS} header fields")
    if not block.count(b"\r") == block.count(b"\n") == len(lines) + 1:
        raise refuse("a bare CR or LF in the head")

    found: dict[int, list[bytes]] = {}
    kept = [b"HTTP/1.1 %b %b" % (match[2], match[3] or b"")]
    for line in lines:
        name, colon, value = line.partition(b":")
        kind = kind_of(name)
        if kind == INVALID or not colon:
            raise refuse(f"{show(line)} is not a header field")
        if kind in _TAKEN_OUT:
            found.setdefault(kind, []).append(value.strip(b" \t"))
        elif kind != Kind.HOP:
            kept.append(line)
            if kind == Kind.CONTENT_LENGTH:
                found.setdefault(kind, []).append(value.strip(b" \t"))
    lengths = found.get(Kind.CONTENT_LENGTH, [])
    response.framing, response.length = response_framing(lengths, found.get(Kind.TRANSFER_ENCODING, []), minor, response.status)
    response.has_length = bool(lengths)
    if lengths and (response.status < 200 or response.status == 204):  # RFC 9110 section 8.6: not in such a reply
        kept[1:] = [line for line in kept[1:] if line[:15].lower() != b"content-length:"]
    connection = options(found.get(Kind.CONNECTION, []))
    response.keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
    for value in found.get(Kind.KEEP_ALIVE, []):
        timeout = _KEEP_ALIVE_TIMEOUT.search(value)
        if timeout:
            response.idle_timeout_s = float(timeout[1])
    if b"upgrade" in connection:
        response.upgrade = b", ".join(members(found.get(Kind.UPGRADE, [])))
    named = connection - PROTECTED
    if named:
        kept[1:] = [line for line in kept[1:] if line.partition(b":")[0].lower() not in named]
    response.forward = b"".join([line + b"\r\n" for line in kept])
    return response
