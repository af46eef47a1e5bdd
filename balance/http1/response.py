"""Reading a reply's head (RFC 9112 sections 4 and 5), as strictly as a request's: a backend's ambiguity is answered 502.

For backends older than the rules a reader may be tolerant (`http.strictness`): what breaks a rule and has one reading all the
same is rewritten as the rule has it, and then read as strictly as the rest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from httptools import HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    HOP,
    KEEP_ALIVE,
    PROTECTED,
    REQUEST_ID,
    TRANSFER_ENCODING,
    UPGRADE,
    asks_for_connection_auth,
    for_witness,
    is_field_line,
    malformed,
    members,
    only_length,
    options,
    special,
    without,
    without_named,
)
from balance.http1.framing import BY_CHUNKS, response_framing, show
from balance.http1.head import Response
from balance.http1.llhttp_check import LlhttpCheck
from balance.model import Why

MAX_HEAD = 64 * 1024  # bytes; nginx's proxy_buffer_size is 4-8k, Envoy's bound 60k
MAX_FIELDS = 200
_BEGINNING = b"HTTP/1."
LAST_STATUS = 599  # RFC 9110 section 15
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?i)(?:^|[,\s;])timeout\s*=\s*([0-9]{1,6})(?=$|[,\s;])")

_TAKEN_OUT = frozenset((TRANSFER_ENCODING, CONNECTION, KEEP_ALIVE, UPGRADE, HOP))
_OWN_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))  # name fields that are taken out anyway
_REMEMBERED = 16  # blocks
_REMEMBERED_BYTES = 2048
_REMEMBERED_STATUS_LINES = 256


def refuse(detail: str) -> ProtocolError:
    """A reply that goes no further."""
    return ProtocolError(502, Why.BAD_RESPONSE, detail)


class ResponseReader:
    """Reads heads of replies. What a head said is remembered by its bytes: within a second, many are the same."""

    __slots__ = ("_remembered", "_witness", "is_tolerant")

    def __init__(self, *, is_tolerant: bool = False) -> None:
        self.is_tolerant = is_tolerant
        self._witness = LlhttpCheck(HttpResponseParser)
        self._remembered: dict[bytes, Response] = {}

    def read(self, head: bytes) -> Response:
        """The reply of one complete head, which ends with its empty line. ProtocolError (502)."""
        response = self._remembered.get(head)
        if response is not None:
            return response
        came = head
        if self.is_tolerant:
            head = tidied(head)
        response = parse_response(head)
        if response.status > LAST_STATUS and not self.is_tolerant:
            raise _no_status_line(head)
        block = head[head.find(b"\n") :]
        seen = head
        if response.framing is BY_CHUNKS and b"\t" in block:
            seen = head[: -len(block)] + for_witness(block)
        if not self._witness.agrees(seen, response.framing, response.length, reusable=response.keep_alive):
            line_at_fault = malformed(block)
            if line_at_fault is None:
                raise refuse("the head can be read in more than one way")
            raise refuse(f"{show(line_at_fault)} is not a header field")
        if len(came) <= _REMEMBERED_BYTES:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[came] = response
        return response

    def end(self, data: bytes) -> int:
        """Where in `data` the head that it begins with ends; less than 4 when it does not."""
        if not self.is_tolerant:
            return data.find(b"\r\n\r\n") + 4
        crlf, lf = data.find(b"\n\r\n") + 3, data.find(b"\n\n") + 2
        return crlf if lf < 2 or 2 < crlf < lf else lf

    def refuse_partial(self, data: bytes, seen: int) -> None:
        """Refuse at once what can't become a head, instead of waiting for its end: ProtocolError (502).

        `data` is all that has come of one, and no whole one; its first `seen` bytes were looked at before.
        """
        if len(data) > MAX_HEAD:
            raise refuse(f"a head of more than {MAX_HEAD} bytes")
        if not data.startswith(_BEGINNING[: len(data)]):
            raise _no_status_line(data)
        start = data.rfind(b"\n", 0, seen) + 1
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            if line.endswith(b"\r"):
                line = line[:-1]
            elif not self.is_tolerant:
                raise refuse("a bare CR or LF in the head")
            if not start:
                if _read_status_line(line + b"\r\n").status > LAST_STATUS and not self.is_tolerant:
                    raise _no_status_line(data)
            elif not is_field_line(line):
                raise refuse(f"{show(line)} is not a header field")
            start = end + 1
        if data.count(b"\n") > MAX_FIELDS + 1:
            raise refuse(f"more than {MAX_FIELDS} header fields")


def tidied(head: bytes) -> bytes:
    """`head` without what old backends do against the rules and can mean in one way only. ProtocolError (502).

    Line ends that are a bare LF (RFC 9112 section 2.2); one Content-Length that is said several times, in a list or in lines of
    its own (section 6.3 rule 5); Transfer-Encoding in a 204, which has no body (section 6.1): should one come all the same, it
    is not taken for a reply, because the connection is closed.
    """
    text = head.replace(b"\r\n", b"\n")
    if b"\r" in text:
        raise refuse("a bare CR or LF in the head")
    head = text.replace(b"\n", b"\r\n")
    line_end = head.find(b"\r\n") + 2
    line, block = head[:line_end], head[line_end - 1 :]
    lengths: list[bytes] = []
    length_lines, coding_lines = [], []
    for kind, value, span in special(block):
        if kind == CONTENT_LENGTH:
            lengths += [length.strip(b" \t") for length in value.split(b",")]
            length_lines.append(span)
        elif kind == TRANSFER_ENCODING and value.lower() == b"chunked" and line[8:12] == b" 204":
            coding_lines.append(span)
    instead = b""
    if len(lengths) > 1 and len(set(lengths)) == 1:
        instead = b"Content-Length: %b\r\n" % lengths[0]
    else:
        length_lines = []
    if coding_lines:
        instead += b"Connection: close\r\n"
    if not instead:
        return head
    return b"%b%b%b\r\n" % (line, without(block, sorted(length_lines + coding_lines)), instead)


class _StatusLine(NamedTuple):
    minor: int
    status: int
    forward: bytes  # as it goes on, with its CRLF


_status_lines: dict[bytes, _StatusLine] = {}


def _read_status_line(line: bytes) -> _StatusLine:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        if b"\n" in line[:-2]:
            raise refuse("a bare CR or LF in the head")
        raise _no_status_line(line)
    read = _StatusLine(int(match[1]), int(match[2]), b"HTTP/1.1 %b %b\r\n" % (match[2], match[3] or b""))
    if len(line) <= 64:
        if len(_status_lines) >= _REMEMBERED_STATUS_LINES:
            _status_lines.clear()
        _status_lines[line] = read
    return read


def _no_status_line(data: bytes) -> ProtocolError:
    line, _, _ = data.partition(b"\r\n")
    return refuse(f"{show(line)} is not a status line")


def parse_response(head: bytes) -> Response:
    """What a complete head says. ProtocolError (502)."""
    line_end = head.find(b"\r\n") + 2
    status_line = _status_lines.get(head[:line_end]) or _read_status_line(head[:line_end])
    minor = status_line.minor
    response = Response(status_line.status)
    block = head[line_end - 1 :]
    lines = block.count(b"\r\n")
    if lines > MAX_FIELDS + 1:
        raise refuse(f"more than {MAX_FIELDS} header fields")
    if not block.count(b"\r") == lines == block.count(b"\n") - 1:
        raise refuse("a bare CR or LF in the head")

    common = only_length(block) if response.status == 200 and minor else None
    if common is not None:
        length, forward = common
        response.framing, response.length = response_framing([length], [], minor, response.status)
        response.keep_alive = True
        response.forward = status_line.forward + forward
        return response
    if response.status in (401, 407):
        response.ties = asks_for_connection_auth(block)
        response.is_rare |= response.ties
    lengths: list[bytes] = []
    codings: list[bytes] = []
    found: dict[int, list[bytes]] = {}
    taken_out = []
    for kind, value, line in special(block):
        if kind == CONTENT_LENGTH:
            lengths.append(value)
            if response.status < 200 or response.status == 204:
                taken_out.append(line)  # RFC 9110 section 8.6: not in such a reply
        elif kind == TRANSFER_ENCODING:
            codings.append(value)
            taken_out.append(line)
        elif kind == REQUEST_ID:
            response.has_request_id = response.is_rare = True
        elif kind in _TAKEN_OUT:
            found.setdefault(kind, []).append(value)
            taken_out.append(line)
    response.framing, response.length = response_framing(lengths, codings, minor, response.status)
    response.keep_alive = minor == 1
    if not taken_out:
        response.forward = status_line.forward + block[1:-2]
        return response
    forward = without(block, taken_out)
    if CONNECTION in found:
        connection = options(found[CONNECTION])
        response.keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
        if b"upgrade" in connection:
            response.upgrade = b", ".join(members(found.get(UPGRADE, [])))
        named = connection - PROTECTED - _OWN_OPTIONS
        if named:
            forward = without_named(forward, named)
    if response.status == 426 and UPGRADE in found:
        # RFC 9110 section 15.5.22: MUST say to what. In all other replies but 101 it is an advertisement for this hop.
        forward += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % b", ".join(members(found[UPGRADE]))
    for value in found.get(KEEP_ALIVE, []):
        timeout = _KEEP_ALIVE_TIMEOUT.search(value)
        if timeout:
            response.idle_timeout_s = float(timeout[1])
    response.forward = status_line.forward + forward
    return response
