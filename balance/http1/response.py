"""Parsing of response heads (RFC 9112 sections 4 and 5), as strictly as requests: ambiguous ones are answered 502.

In tolerant mode (`http.strictness`) violations of old backends that are unambiguous are normalized before strict parsing.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

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
    for_llhttp,
    is_field_line,
    list_members,
    malformed_line,
    offers_connection_auth,
    only_length,
    options,
    remove_lines,
    remove_named,
    special_fields,
)
from balance.http1.framing import BY_CHUNKS, response_framing, show
from balance.http1.head import Response
from balance.http1.llhttp_check import LlhttpCheck
from balance.model import Why

MAX_HEAD: Final = 64 * 1024  # bytes; nginx's proxy_buffer_size is 4-8k, Envoy's limit 60k
MAX_FIELDS: Final = 200
_HTTP1: Final = b"HTTP/1."
LAST_STATUS: Final = 599  # RFC 9110 section 15
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
_KEEP_ALIVE_TIMEOUT: Final = re.compile(rb"(?i)(?:^|[,\s;])timeout\s*=\s*([0-9]{1,6})(?=$|[,\s;])")

_HOP_BY_HOP: Final = frozenset((TRANSFER_ENCODING, CONNECTION, KEEP_ALIVE, UPGRADE, HOP))
_OWN_OPTIONS: Final = frozenset((b"close", b"keep-alive", b"upgrade"))  # their fields are removed anyway
_CACHE_SIZE: Final = 16  # blocks
_CACHE_MAX_BYTES: Final = 2048
_STATUS_LINE_CACHE_SIZE: Final = 256


def refuse(detail: str) -> ProtocolError:
    """The error for a response that is refused."""
    return ProtocolError(502, Why.BAD_RESPONSE, detail)


class ResponseReader:
    """Parses heads of responses. Parsed heads are cached by their bytes: within a second, many are identical."""

    __slots__ = ("_cache", "_llhttp", "is_tolerant")

    def __init__(self, *, is_tolerant: bool = False) -> None:
        self.is_tolerant = is_tolerant
        self._llhttp = LlhttpCheck(HttpResponseParser)
        self._cache: dict[bytes, Response] = {}

    def read(self, head: bytes) -> Response:
        """Parse one complete head, with its empty line. ProtocolError (502)."""
        response = self._cache.get(head)
        if response is not None:
            return response
        received = head
        if self.is_tolerant:
            head = normalize_head(head)
        response = parse_response(head)
        if response.status > LAST_STATUS and not self.is_tolerant:
            raise _no_status_line(head)
        block = head[head.find(b"\n") :]
        seen = head
        if response.framing is BY_CHUNKS and b"\t" in block:
            seen = head[: -len(block)] + for_llhttp(block)
        if not self._llhttp.agrees(seen, response.framing, response.length, reusable=response.keep_alive):
            line_at_fault = malformed_line(block)
            if line_at_fault is None:
                raise refuse("the head can be read in more than one way")
            raise refuse(f"{show(line_at_fault)} is not a header field")
        if len(received) <= _CACHE_MAX_BYTES:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[received] = response
        return response

    def forget(self) -> None:
        """Drop the parsed heads, and with them what routes of an earlier configuration made of them."""
        self._cache.clear()

    def end(self, data: bytes) -> int:
        """The end of the head in `data`; less than 4 when it is incomplete."""
        if not self.is_tolerant:
            return data.find(b"\r\n\r\n") + 4
        crlf, lf = data.find(b"\n\r\n") + 3, data.find(b"\n\n") + 2
        return crlf if lf < 2 or 2 < crlf < lf else lf

    def refuse_partial(self, data: bytes, seen: int) -> None:
        """ProtocolError (502) when an incomplete head can't become a valid one.

        `data` is the received part; its first `seen` bytes have been checked before.
        """
        if len(data) > MAX_HEAD:
            raise refuse(f"a head of more than {MAX_HEAD} bytes")
        if not data.startswith(_HTTP1[: len(data)]):
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


def normalize_head(head: bytes) -> bytes:
    """Normalize unambiguous violations of old backends. ProtocolError (502).

    Bare LF as line end (RFC 9112 section 2.2); equal Content-Lengths in a list or several lines (section 6.3 rule 5);
    Transfer-Encoding in a 204 (section 6.1): the connection is closed, in case a body follows.
    """
    text = head.replace(b"\r\n", b"\n")
    if b"\r" in text:
        raise refuse("a bare CR or LF in the head")
    head = text.replace(b"\n", b"\r\n")
    line_end = head.find(b"\r\n") + 2
    line, block = head[:line_end], head[line_end - 1 :]
    lengths: list[bytes] = []
    length_lines, coding_lines = [], []
    for kind, value, span in special_fields(block):
        if kind == CONTENT_LENGTH:
            lengths += [length.strip(b" \t") for length in value.split(b",")]
            length_lines.append(span)
        elif kind == TRANSFER_ENCODING and value.lower() == b"chunked" and line[8:12] == b" 204":
            coding_lines.append(span)
    replacement = b""
    if len(lengths) > 1 and len(set(lengths)) == 1:
        replacement = b"Content-Length: %b\r\n" % lengths[0]
    else:
        length_lines = []
    if coding_lines:
        replacement += b"Connection: close\r\n"
    if not replacement:
        return head
    return b"%b%b%b\r\n" % (line, remove_lines(block, sorted(length_lines + coding_lines)), replacement)


class _StatusLine(NamedTuple):
    minor: int
    status: int
    forward: bytes  # to be forwarded, with its CRLF


_status_lines: Final[dict[bytes, _StatusLine]] = {}


def _read_status_line(line: bytes) -> _StatusLine:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        if b"\n" in line[:-2]:
            raise refuse("a bare CR or LF in the head")
        raise _no_status_line(line)
    read = _StatusLine(int(match[1]), int(match[2]), b"HTTP/1.1 %b %b\r\n" % (match[2], match[3] or b""))
    if len(line) <= 64:
        if len(_status_lines) >= _STATUS_LINE_CACHE_SIZE:
            _status_lines.clear()
        _status_lines[line] = read
    return read


def _no_status_line(data: bytes) -> ProtocolError:
    line, _, _ = data.partition(b"\r\n")
    return refuse(f"{show(line)} is not a status line")


def parse_response(head: bytes) -> Response:
    """Parse a complete head. ProtocolError (502)."""
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
        response.has_connection_auth = offers_connection_auth(block)
        response.is_uncommon |= response.has_connection_auth
    lengths: list[bytes] = []
    codings: list[bytes] = []
    found: dict[int, list[bytes]] = {}
    taken_out = []
    for kind, value, line in special_fields(block):
        if kind == CONTENT_LENGTH:
            lengths.append(value)
            if response.status < 200 or response.status == 204:
                taken_out.append(line)  # RFC 9110 section 8.6: not in such a response
        elif kind == TRANSFER_ENCODING:
            codings.append(value)
            taken_out.append(line)
        elif kind == REQUEST_ID:
            response.has_request_id = response.is_uncommon = True
        elif kind in _HOP_BY_HOP:
            found.setdefault(kind, []).append(value)
            taken_out.append(line)
    response.framing, response.length = response_framing(lengths, codings, minor, response.status)
    response.keep_alive = minor == 1
    if not taken_out:
        response.forward = status_line.forward + block[1:-2]
        return response
    forward = remove_lines(block, taken_out)
    if CONNECTION in found:
        connection = options(found[CONNECTION])
        response.keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
        if b"upgrade" in connection:
            response.upgrade = b", ".join(list_members(found.get(UPGRADE, [])))
        named = connection - PROTECTED - _OWN_OPTIONS
        if named:
            forward = remove_named(forward, named)
    if response.status == 426 and UPGRADE in found:
        # RFC 9110 section 15.5.22: Upgrade is required in a 426. In others but 101 it is hop-by-hop.
        forward += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % b", ".join(list_members(found[UPGRADE]))
    for value in found.get(KEEP_ALIVE, []):
        timeout = _KEEP_ALIVE_TIMEOUT.search(value)
        if timeout:
            response.idle_timeout_s = float(timeout[1])
    response.forward = status_line.forward + forward
    return response
