"""What is made of bytes from outside, told in full: the same text from pure and from compiled modules, or one of them is wrong.

An error that is no refusal is told by its name, so that one side's TypeError is a difference, too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import NamedTuple

from httptools import HttpRequestParser, HttpResponseParser
from reading import told
from session_verdicts import session_verdict

from balance.config.model import HttpConfig, Limits
from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.forwarding.realip import TrustedProxies, origin_of
from balance.http1.framing import Framing
from balance.http1.request import RequestReader
from balance.http1.response import ResponseReader
from balance.http1.websocket_frames import FrameTracker
from balance.routing.path_readings import normalized_path, path_readings
from balance.routing.request_view import RequestView


class Job(NamedTuple):
    kind: str
    data: bytes
    cuts: tuple[int, ...] = ()  # where the data is split as it arrives; what is beyond its end splits nothing


SETTINGS = {
    "usual": HttpConfig(),
    "narrow": HttpConfig(limits=Limits(line_bytes=60, head_bytes=200, fields=4, body_bytes=64), underscore_headers="reject"),
    "passing": HttpConfig(underscore_headers="pass", websocket=False),
}
READERS = {name: RequestReader(http) for name, http in SETTINGS.items()}  # their caches fill as those of a listener
STRICT, TOLERANT = ResponseReader(), ResponseReader(is_tolerant=True)
TRUSTED = TrustedProxies([ipaddress.ip_network(text) for text in ("192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32")])


def pieces(job: Job) -> Iterator[bytes]:
    start = 0
    for cut in sorted({cut for cut in job.cuts if 0 < cut < len(job.data)}):
        yield job.data[start:cut]
        start = cut
    yield job.data[start:]


def verdict(job: Job) -> str:
    try:
        return session_verdict(job.kind, list(pieces(job))) if job.kind.startswith("session") else KINDS[job.kind](job)
    except ProtocolError as error:
        return _refused(error)
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"


def _refused(error: ProtocolError) -> str:
    return f"refused {error.status} {error.why!r} {error}"


def _shown(values: dict[str, object]) -> str:
    return repr({name: sorted(value) if isinstance(value, frozenset) else value for name, value in sorted(values.items())})


def _head(settings: str) -> Callable[[Job], str]:
    def read(job: Job) -> str:
        request = READERS[settings].read(job.data)
        again = READERS[settings].read_again(job.data, request.fields.block) if request.fields.block else None
        if again is not None and told(again) != told(request):
            raise ValueError("it is read otherwise when it comes again")
        values = told(request)
        fields = values.pop("fields")
        assert isinstance(fields, dict)
        origins = [vars_of(origin_of(family, fields["forwarding"], "192.0.2.1", TRUSTED)) for family in ("xff", "forwarded")]
        view = RequestView(request.fields, request.target)
        asked = [view.headers(b"x"), view.cookies(b"x"), view.parameters(b"b"), view.header(b"host")]
        readings = [path_readings(request.target), normalized_path(request.target)]
        return f"{_shown(values)} {_shown(fields)} {origins} {asked} {readings}"

    return read


def vars_of(origin: object) -> str:
    names = ("address", "host", "port", "problem", "proto", "proxies")
    return repr([getattr(origin, name) for name in names])


def _requests(job: Job) -> str:
    """A client's connection: heads and bodies, as the pieces come."""
    reader, said, data, body = READERS["usual"], [], b"", None
    try:
        for piece in pieces(job):
            data += piece
            while data:
                if body is None:
                    end = data.find(b"\r\n\r\n")
                    if end < 0:
                        break
                    request = reader.read(data[: end + 4])
                    fields = request.fields
                    said.append(f"{request.method!r} {request.line!r} {fields.forward!r} {fields.framing!r} {fields.length}")
                    data = data[end + 4 :]
                    body = Body(fields.framing, fields.length, HttpRequestParser)
                if not body.is_done:
                    said.append(f"{body.feed(data)!r} {body.received} {body.buffered!r} {body.is_done}")
                    data = body.rest
                if not body.is_done:
                    break
                body = None
    except ProtocolError as error:
        said.append(_refused(error))
    return "; ".join([*said, repr(data)])


def _replies(reader: ResponseReader) -> Callable[[Job], str]:
    def read(job: Job) -> str:
        said, data, body, seen = [], b"", None, 0
        try:
            for piece in pieces(job):
                data += piece
                if body is None:
                    while (end := reader.end(data)) >= 4 and body is None:
                        response = reader.read(data[:end])
                        said.append(_shown(told(response)))
                        data, seen = data[end:], 0
                        if response.status >= 200:
                            body = Body(response.framing, response.length, HttpResponseParser, is_tolerant=reader.is_tolerant)
                    if body is None:
                        reader.refuse_partial(data, seen)
                        seen = len(data)
                        continue
                if data and not body.is_done:
                    said.append(f"{body.feed(data)!r} {body.received} {body.buffered!r} {body.ends_at_close}")
                    data = body.rest
        except ProtocolError as error:
            said.append(_refused(error))
        return "; ".join([*said, repr(data)])

    return read


def _chunks(*, decode: bool = False, underscores: str = "drop", is_tolerant: bool = False) -> Callable[[Job], str]:
    def read(job: Job) -> str:
        body = Body(Framing.CHUNKED, 0, HttpResponseParser, decode=decode, underscores=underscores, is_tolerant=is_tolerant)
        said, data = [], b""
        try:
            for piece in pieces(job):
                data += piece
                if data and not body.is_done:
                    said.append(f"{body.feed(data)!r} {body.received} {body.buffered!r} {body.is_done}")
                    data = body.rest
        except ProtocolError as error:
            said.append(_refused(error))
        return "; ".join([*said, repr(data)])

    return read


def _frames(is_masked: bool) -> Callable[[Job], str]:
    def read(job: Job) -> str:
        frames, said = FrameTracker(is_masked=is_masked), []
        for piece in pieces(job):
            frames.feed(piece)
            said.append(f"{frames.is_at_boundary} {frames.bytes_to_boundary(piece)}")
        return "; ".join(said)

    return read


KINDS: dict[str, Callable[[Job], str]] = {
    **{f"head {name}": _head(name) for name in SETTINGS},
    "requests": _requests,
    "replies": _replies(STRICT),
    "replies tolerant": _replies(TOLERANT),
    "chunks": _chunks(),
    "chunks decoded": _chunks(decode=True),
    "chunks tolerant": _chunks(is_tolerant=True),
    "chunks rejecting": _chunks(underscores="reject"),
    "frames": _frames(True),
    "frames unmasked": _frames(False),
}
