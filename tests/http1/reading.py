"""A whole connection's bytes through the pure floor, as the cases' verdicts tell it: what goes on, and how the bytes end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from httptools import HttpRequestParser, HttpResponseParser
from request_cases import MORE, OK, Passed
from response_cases import CUT, Relayed

from balance.config.model import HttpConfig
from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.framing import Framing
from balance.http1.head import Request, Response
from balance.http1.request import RequestReader
from balance.http1.response import ResponseReader

PLAIN = HttpConfig()


def payload(framing: Framing, forwarded: bytes) -> bytes:
    """The content of what goes on of a body."""
    if framing is not Framing.CHUNKED:
        return forwarded
    content = b""
    while True:
        size, _, forwarded = forwarded.partition(b"\r\n")
        if not int(size, 16):
            return content
        content += forwarded[: int(size, 16)]
        forwarded = forwarded[int(size, 16) + 2 :]


def requests(data: bytes, reader: RequestReader) -> tuple[Passed | str | int, ...]:
    """The verdict on a client's `data`."""
    verdict: list[Passed | str | int] = []
    try:
        while data:
            if data.startswith(b"\r\n"):  # RFC 9112 section 2.2: empty lines before a request are ignored
                data = data[2:]
                continue
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return (*verdict, MORE)
            request = reader.read(data[: end + 4])
            fields = request.fields
            body = Body(fields.framing, fields.length, HttpRequestParser)
            forwarded, data = (b"", data[end + 4 :]) if body.is_done else (body.feed(data[end + 4 :]), body.rest)
            if not body.is_done:
                return (*verdict, MORE)
            verdict.append(Passed(request.method, request.target, payload(fields.framing, forwarded), fields.framing))
            if not request.keep_alive:
                break
    except ProtocolError as error:
        return (*verdict, error.status)
    return (*verdict, OK)


def reply(data: bytes, method: bytes, reader: ResponseReader) -> Relayed | str | int:
    """The verdict on what a backend sent before it closed the connection."""
    try:
        while True:
            end = reader.end(data)
            if end < 4:
                return 502
            response = reader.read(data[:end])
            data = data[end:]
            if response.status >= 200:
                break
            if response.status == 101:  # nobody asked for it
                return 502
    except ProtocolError as error:
        return error.status
    if method == b"HEAD":
        return Relayed(response.status)
    body = Body(response.framing, response.length, HttpResponseParser, is_tolerant=reader.is_tolerant)
    try:
        forwarded = body.feed(data) if data and not body.is_done else b""
    except ProtocolError:
        return CUT
    if not body.is_done and response.framing is not Framing.UNTIL_CLOSE:
        return CUT
    return Relayed(response.status, payload(response.framing, forwarded))


def told(message: Request | Response) -> dict[str, object]:
    """Everything that a head was read as."""
    read = _attributes(message)
    if isinstance(message, Request):
        read["fields"] = _attributes(message.fields)
    return read


def _attributes(read: object) -> dict[str, object]:
    """Of an object with slots, or of a compiled one, which has no `__slots__`."""
    values = {name: getattr(read, name) for name in dir(type(read)) if not name.startswith("_")}
    return {name: value for name, value in values.items() if not callable(value)}


def request_told(head: bytes, reader: RequestReader) -> dict[str, object] | int:
    """The same, or the status that refuses it."""
    try:
        return told(reader.read(head))
    except ProtocolError as error:
        return error.status


def response_told(head: bytes, reader: ResponseReader) -> dict[str, object] | int:
    """The same of a reply."""
    try:
        return told(reader.read(head))
    except ProtocolError as error:
        return error.status


def growth(read: Callable[[bytes], object], head: Callable[[int], bytes]) -> int:
    """The bytes of memory that stay taken after two thousand heads of which no two are the same."""
    for number in range(100):
        read(head(number))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(100, 2100):
        read(head(number))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown
