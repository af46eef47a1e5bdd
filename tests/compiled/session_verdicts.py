"""What a session of HTTP/2 makes of what its peer sends: each call to its shell and each byte that it writes."""

from __future__ import annotations

from balance.http2.errors import CANCEL
from balance.http2.handler import SessionHandler
from balance.http2.head_encoder import encode_lines, encode_request, encode_response
from balance.http2.request_head import RequestHead
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream

LIMITS = {
    "usual": SessionLimits(),
    "narrow": SessionLimits(streams=3, fields=6, head_bytes=600),
    "websocket": SessionLimits(allows_protocol=True),
}
OPENED = 4  # streams of a client
STEP_S = 0.3  # between two pieces


class Shell(SessionHandler):
    """Answers some requests at once, some late, and some never, by the numbers of their streams."""

    def __init__(self, *, is_calm: bool) -> None:
        self.is_calm = is_calm  # without content, which is sent by turns: when it is depends on what is read at once
        self.said: list[str] = []
        self.open: dict[int, Stream] = {}
        self.session: Session
        self.now = 0.0

    def say(self, what: str, stream: Stream, *more: object) -> None:
        self.said.append(f"{what} {stream.id} {' '.join(map(repr, more))}")

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        fields = (head.method, head.target, head.scheme, head.authority, head.protocol, head.lines, head.length, head.priority)
        self.say("request", stream, *fields, ends)
        self.open[stream.id] = stream
        if ends:
            self.answer(stream)

    def on_too_large(self, stream: Stream, *, ends: bool) -> None:
        self.say("too large", stream, ends)
        self.session.head(stream, encode_response(431, b""), ends=True)
        self.session.release(stream, self.now)

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        self.say("response", stream, head.status, head.lines, head.length, ends)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self.say("content", stream, content, ends)
        if stream.id % 8 != 5:
            self.session.taken(stream, len(content))
        if ends:
            self.answer(stream)

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        self.say("trailers", stream, lines)
        self.answer(stream)

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        self.say("reset", stream, code, detail, is_ours)
        self.session.release(stream, self.now)
        self.open.pop(stream.id, None)

    def on_unprocessed(self, stream: Stream) -> None:
        self.say("unprocessed", stream)

    def on_going_away(self, code: int, detail: str) -> None:
        self.said.append(f"going away {code} {detail}")

    def on_settings(self) -> None:
        self.said.append(f"settings {self.session.peer_streams} {self.session.peer_allows_protocol}")

    def on_many_offences(self, what: str) -> None:
        self.said.append(f"many of {what}")
        self.session.leave()

    def on_fault(self, code: int, detail: str) -> None:
        self.said.append(f"fault {code} {detail}")

    def answer(self, stream: Stream) -> None:
        session = self.session
        if not session.is_server or stream.id % 8 == 3:
            return
        self.open.pop(stream.id, None)
        if self.is_calm:
            session.head(stream, encode_response(204, b""), ends=True)
            session.release(stream, self.now)
            return
        session.head(stream, encode_response(200, b"Server: a\r\nX-Id: %d\r\n" % stream.id), ends=False)
        session.content(stream, b"x" * (stream.id * 3000 % 50_000), ends=stream.id % 8 != 7)
        if stream.id % 8 == 7:
            session.trailers(stream, encode_lines(b"grpc-status: 0\r\n"))
        if not stream.held_bytes:
            session.release(stream, self.now)


def session_verdict(kind: str, pieces: list[bytes]) -> str:
    """`kind`: "session", "server" or "client", limits, and "calm" where no more is done than to read."""
    _, role, limits, *calm = kind.split()
    shell = Shell(is_calm=bool(calm))
    session = shell.session = Session(shell, LIMITS[limits], 0.0, is_server=role == "server")
    if role == "client":
        for number in range(OPENED):
            block = encode_request(b"GET", b"https", b"a.example", b"/%d" % number, b"Accept: */*\r\n")
            session.open(block, 0.0, ends=True, is_head_request=number == 1)
    written = []
    for number, piece in enumerate(pieces):
        data = piece
        while session.feed(data, shell.now):
            data = b""
        if not calm:
            shell.now += STEP_S
            _act(session, shell, len(piece) + number)
        written.append(b"".join(session.out.parts))
        session.out.parts.clear()
    while session.flush():
        pass
    written.append(b"".join(session.out.parts))
    streams = [
        (stream.id, stream.window, stream.credit, stream.held_bytes, stream.is_done) for stream in session.streams.values()
    ]
    state = (session.out.window, session.out.held_bytes, session.credit.held, session.is_closed, session.is_leaving, streams)
    output = b"".join(written) if calm else written
    return f"{'; '.join(shell.said)}; {output!r} {state}"


def _act(session: Session, shell: Shell, dice: int) -> None:
    """What a shell does between two reads."""
    stream = next(iter(shell.open.values()), None)
    match dice % 13:
        case 1:
            session.out.is_blocked = True
        case 2 | 3 if session.out.is_blocked:
            session.out.unblock()
            session.flush()
        case 4:
            session.leave()
        case 5 if stream is not None:
            session.reset(stream, CANCEL, shell.now)
        case 6 | 7 if stream is not None:
            shell.open.pop(stream.id)
            session.release(stream, shell.now)
        case 8 if stream is not None:
            session.taken(stream, min(100, session.credit.held))
        case 9 if stream is not None:
            shell.answer(stream)
        case 10:
            session.flush()
