"""A shell that writes down what it is told, and answers what it is asked to."""

from __future__ import annotations

from balance.http2 import frames
from balance.http2.handler import SessionHandler
from balance.http2.request_head import RequestHead
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream


class RecordingHandler(SessionHandler):
    """`told` in the order of the calls. Content is taken at once when `takes` is true."""

    def __init__(self, *, takes: bool = True) -> None:
        self.told: list[tuple[object, ...]] = []
        self.takes = takes
        self.by_id: dict[int, Stream] = {}
        self.session: Session

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        self.by_id[stream.id] = stream
        self.told.append(("request", stream.id, head.method, head.target, head.authority, head.lines, ends))

    def on_too_large(self, stream: Stream, *, ends: bool) -> None:
        self.by_id[stream.id] = stream
        self.told.append(("too large", stream.id, ends))

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        self.told.append(("response", stream.id, head.status, head.lines, ends))

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self.told.append(("content", stream.id, content, ends))
        if self.takes:
            self.session.taken(stream, len(content))

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        self.told.append(("trailers", stream.id, lines))

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        self.told.append(("reset", stream.id, code, is_ours))

    def on_unprocessed(self, stream: Stream) -> None:
        self.told.append(("unprocessed", stream.id))

    def on_going_away(self, code: int, detail: str) -> None:
        self.told.append(("going away", code, detail))

    def on_many_offences(self, what: str) -> None:
        self.told.append(("many offences", what))

    def on_fault(self, code: int, detail: str) -> None:
        self.told.append(("fault", code, detail))


def started(
    *, is_server: bool = True, takes: bool = True, limits: SessionLimits | None = None
) -> tuple[Session, RecordingHandler]:
    """A session whose peer has said its preface and empty settings; its output so far is dropped."""
    handler = RecordingHandler(takes=takes)
    session = handler.session = Session(handler, limits or SessionLimits(), 0.0, is_server=is_server)
    session.feed((frames.PREFACE if is_server else b"") + frames.settings([]), 0.0)
    session.out.parts.clear()
    return session, handler


def sent(session: Session) -> list[tuple[int, int, int, bytes]]:
    """The frames that wait to be written, as (kind, flags, stream, payload); they are taken."""
    data = b"".join(session.out.parts)
    session.out.parts.clear()
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found
