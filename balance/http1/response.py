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
    PLAIN,
    PROTECTED,
    REQUEST_ID,
    TEXT,
    TRANSFER_ENCODING,
    UPGRADE,
    Span,
    for_llhttp,
    is_field_line,
    list_members,
    malformed_line,
    offers_connection_auth,
    options,
    remove_lines,
    remove_named,
    special_fields,
    without,
)
from balance.http1.framing import BY_CHUNKS, response_framing, show
from balance.http1.head import Response
from balance.http1.known_lines import A_LENGTH, PAUSE, UNJUDGED, KnownLines
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
_NOTHING: Final[frozenset[bytes]] = frozenset()

# The kinds of fields that say something about a response.
_MEANINGFUL: Final = _HOP_BY_HOP | {CONTENT_LENGTH, REQUEST_ID}
_AUTHENTICATING: Final = (401, 407)  # their challenges count
# As in requests.
_MEANINGS: Final = 128
_MEANING_MAX_BYTES: Final = 256
_FEW: Final = 4  # lines; judging a new combination of more costs as much as judging the whole
_MAX_SPECIAL: Final = 16
_SOME_LENGTH: Final = b"Content-Length: 1"
_SOME_ID: Final = b"X-Request-Id:"


def refuse(detail: str) -> ProtocolError:
    """The error for a response that is refused."""
    return ProtocolError(502, Why.BAD_RESPONSE, detail)


class ResponseReader:
    """Parses heads of responses. Parsed heads are cached by their bytes: within a second, many are identical."""

    __slots__ = ("_cache", "_llhttp", "_meanings", "is_tolerant", "known")

    def __init__(self, *, is_tolerant: bool = False, known: KnownLines | None = None) -> None:
        """`known` is another memory of lines than one of the usual size."""
        self.is_tolerant = is_tolerant
        self.known = KnownLines(_MEANINGFUL) if known is None else known
        self._meanings: dict[bytes, _Judged] = {}
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
        response = self._read_lines(head)
        if response is None:
            response = self._read_whole(head)
        if len(received) <= _CACHE_MAX_BYTES:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[received] = response
        return response

    def _read_lines(self, head: bytes) -> Response | None:
        """A head that was never seen, from what is known of its lines; None when it must be judged as a whole.

        As with requests: the lines that mean something are judged together with the status line, once for each combination, and
        a length or an id has a stand-in there.
        """
        known = self.known
        if known.pause:
            known.pause -= 1
            return None
        lines = head.split(b"\r\n")
        line = lines.pop(0)
        status_line = _status_lines.get(line)
        if status_line is None or status_line.status in _AUTHENTICATING or len(lines) > MAX_FIELDS + 2:
            return None
        if len(lines) < 2 or lines.pop() or lines.pop():
            return None
        plain, kinds = known.plain, known.kinds
        length = 0
        removed: list[bytes] = []
        judged = [line]
        for line in lines:
            if line in plain or not (kind := kinds.get(line, PLAIN) or known.judge(line)):
                continue
            if kind >= A_LENGTH:
                length = kind - A_LENGTH
                judged.append(_SOME_LENGTH)
                if status_line.has_no_length:
                    removed.append(line)
            elif kind == REQUEST_ID:
                if line.translate(TEXT) != line:
                    return None
                judged.append(_SOME_ID)
            elif kind == UNJUDGED:
                return None
            else:
                judged.append(line)
                if kind != CONTENT_LENGTH or status_line.has_no_length:
                    removed.append(line)
        if len(judged) > _MAX_SPECIAL:
            return None
        key = b"\r\n".join(judged)
        meaning = self._meanings.get(key)
        if meaning is None:
            meaning = self._judge_lines(key)
            if len(judged) > _FEW:
                known.pause = PAUSE
            if meaning is None:
                return None
        read, _, named, rewritten = meaning
        if not removed:
            forward = status_line.forward + head[len(judged[0]) + 2 : -2]
        else:
            forward = b"%b%b%b" % (status_line.forward, without(lines, removed, named), rewritten)
        response = Response(status_line.status, read, forward)
        if length and response.length:
            response.length = length
        return response

    def _judge_lines(self, key: bytes) -> _Judged | None:
        """What these lines mean together; None when a head of them is refused."""
        try:
            meaning = self._agreed(key + b"\r\n\r\n")
        except ProtocolError:
            return None
        if meaning is not None and len(key) <= _MEANING_MAX_BYTES:
            if len(self._meanings) >= _MEANINGS:
                self._meanings.clear()
            self._meanings[key] = meaning
        return meaning

    def _read_whole(self, head: bytes) -> Response:
        """Judge all of a head. ProtocolError says what is wrong with it."""
        judged = self._agreed(head)
        if judged is not None:
            return _with_lines(judged, head)
        line_at_fault = malformed_line(head[head.find(b"\n") :])
        if line_at_fault is None:
            raise refuse("the head can be read in more than one way")
        raise refuse(f"{show(line_at_fault)} is not a header field")

    def _agreed(self, head: bytes) -> _Judged | None:
        """What a head says; None when llhttp reads it otherwise. ProtocolError when we refuse it."""
        judged = _judge(head)
        response = judged[0]
        if response.status > LAST_STATUS and not self.is_tolerant:
            raise _no_status_line(head)
        if response.framing is BY_CHUNKS:
            block = head[head.find(b"\n") :]
            if block.find(b"\t") >= 0:
                head = head[: -len(block)] + for_llhttp(block)
        agrees = self._llhttp.agrees(head, response.framing, response.length, reusable=response.keep_alive)
        return judged if agrees else None

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
    has_no_length: bool  # RFC 9110 section 8.6: no Content-Length in such a response


_status_lines: Final[dict[bytes, _StatusLine]] = {}


def _read_status_line(line: bytes) -> _StatusLine:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        if b"\n" in line[:-2]:
            raise refuse("a bare CR or LF in the head")
        raise _no_status_line(line)
    status = int(match[2])
    forward = b"HTTP/1.1 %b %b\r\n" % (match[2], match[3] or b"")
    read = _StatusLine(int(match[1]), status, forward, status < 200 or status == 204)
    if len(line) <= 64:
        if len(_status_lines) >= _STATUS_LINE_CACHE_SIZE:
            _status_lines.clear()
        _status_lines[line[:-2]] = read
    return read


def _no_status_line(data: bytes) -> ProtocolError:
    line, _, _ = data.partition(b"\r\n")
    return refuse(f"{show(line)} is not a status line")


# What a head says: the response with its status line alone to forward, lines that are not forwarded, fields that Connection
# removes, and lines in place of removed ones.
_Judged = tuple[Response, list[Span], frozenset[bytes], bytes]


def parse_response(head: bytes) -> Response:
    """Parse a complete head. ProtocolError (502)."""
    return _with_lines(_judge(head), head)


def _with_lines(judged: _Judged, head: bytes) -> Response:
    response, removed, named, rewritten = judged
    line_end = head.find(b"\r\n") + 2
    if not removed:
        response.forward += head[line_end:-2]
        return response
    forward = remove_lines(head[line_end - 1 :], removed)
    if named:
        forward = remove_named(forward, named)
    response.forward += forward + rewritten
    return response


def _judge(head: bytes) -> _Judged:
    line_end = head.find(b"\r\n") + 2
    status_line = _status_lines.get(head[: line_end - 2]) or _read_status_line(head[:line_end])
    minor = status_line.minor
    response = Response(status_line.status)
    response.forward = status_line.forward
    block = head[line_end - 1 :]
    lines = block.count(b"\r\n")
    if lines > MAX_FIELDS + 1:
        raise refuse(f"more than {MAX_FIELDS} header fields")
    if not block.count(b"\r") == lines == block.count(b"\n") - 1:
        raise refuse("a bare CR or LF in the head")

    if response.status in _AUTHENTICATING:
        response.has_connection_auth = offers_connection_auth(block)
        response.is_uncommon |= response.has_connection_auth
    lengths: list[bytes] = []
    codings: list[bytes] = []
    found: dict[int, list[bytes]] = {}
    removed: list[Span] = []
    named = _NOTHING
    rewritten = b""
    for kind, value, line in special_fields(block):
        if kind == CONTENT_LENGTH:
            lengths.append(value)
            if status_line.has_no_length:
                removed.append(line)
        elif kind == TRANSFER_ENCODING:
            codings.append(value)
            removed.append(line)
        elif kind == REQUEST_ID:
            response.has_request_id = response.is_uncommon = True
        elif kind in _HOP_BY_HOP:
            found.setdefault(kind, []).append(value)
            removed.append(line)
    response.framing, response.length = response_framing(lengths, codings, minor, response.status)
    response.keep_alive = minor == 1
    if not removed:
        return response, removed, named, rewritten
    if CONNECTION in found:
        connection = options(found[CONNECTION])
        response.keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
        if b"upgrade" in connection:
            response.upgrade = b", ".join(list_members(found.get(UPGRADE, [])))
        named = connection - PROTECTED - _OWN_OPTIONS
    if response.status == 426 and UPGRADE in found:
        # RFC 9110 section 15.5.22: Upgrade is required in a 426. In others but 101 it is hop-by-hop.
        rewritten = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % b", ".join(list_members(found[UPGRADE]))
    for value in found.get(KEEP_ALIVE, []):
        timeout = _KEEP_ALIVE_TIMEOUT.search(value)
        if timeout:
            response.idle_timeout_s = float(timeout[1])
    return response, removed, named, rewritten
