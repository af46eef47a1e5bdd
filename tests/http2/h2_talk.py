"""A client of HTTP/2 that sends bytes as they are and remembers every frame that comes; a socket or a session is behind it."""

from __future__ import annotations

import hpack
from h2_cases import Answers, Case, Content, Goes, Outcome, Resets, Says, head

from balance.http2 import frames
from balance.http2.frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM

PROBE = 9001  # a stream that is asked for at the end
Frame = tuple[int, int, int, bytes]


class Talk:
    """What was said so far. A driver overrides `send` and `receive`."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.is_over = False  # the server has closed the connection
        self.heads: dict[int, list[list[tuple[bytes, bytes]]]] = {}  # of each stream, in order: interim ones and trailers, too
        self.content: dict[int, list[bytes]] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaways: list[tuple[int, int, bytes]] = []  # last stream, code, what is said for the log
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._unread = b""
        self._block = b""
        self._block_flags = 0

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def receive(self) -> bool:
        """Take what has come; whether more may come. A driver over a socket waits for it, within its patience."""
        raise NotImplementedError

    def begin(self, *settings: tuple[int, int]) -> None:
        self.send(PREFACE + frames.settings(settings))

    def wait(self, condition: str, stream: int = 0, size: int = 0) -> None:
        """Until that stream has ended ("end"), has a head ("head") or so much content ("content"),
        was reset ("reset"), or all is over ("over")."""
        while not self._holds(condition, stream, size):
            assert self.receive(), f"no {condition} of {stream}: {self}"

    def _holds(self, condition: str, stream: int, size: int) -> bool:
        if condition == "over":
            return self.is_over
        if condition == "reset":
            return stream in self.resets or self.is_over
        if condition == "end":
            return stream in self.ended or stream in self.resets or self.is_over
        if condition == "head":
            return stream in self.heads or stream in self.resets or self.is_over
        return len(self.body(stream)) >= size or stream in self.resets or self.is_over

    def body(self, stream: int) -> bytes:
        return b"".join(self.content.get(stream, []))

    def status(self, stream: int) -> int:
        """Of the final response; 0: none has come."""
        for fields in self.heads.get(stream, []):
            status = int(dict(fields).get(b":status", b"0"))
            if status >= 200:
                return status
        return 0

    def take(self, data: bytes) -> None:
        """Bytes that came."""
        self._unread += data
        while len(self._unread) >= 9:
            size = int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < 9 + size:
                return
            kind, flags = self._unread[3], self._unread[4]
            stream = int.from_bytes(self._unread[5:9], "big")
            payload = self._unread[9 : 9 + size]
            self._unread = self._unread[9 + size :]
            self.frames.append((kind, flags, stream, payload))
            self._note(kind, flags, stream, payload)

    def _note(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self.content.setdefault(stream, []).append(payload)
            if flags & END_STREAM:
                self.ended.add(stream)
        elif kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                self._block, self._block_flags = b"", flags
            self._block += payload
            if flags & END_HEADERS:
                found = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(self._block, raw=True)]
                self.heads.setdefault(stream, []).append(found)
                if self._block_flags & END_STREAM:
                    self.ended.add(stream)
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big"), payload[8:]))

    def __str__(self) -> str:
        said = [f"{kind}/{flags:#x}/{stream}/{payload[:40]!r}" for kind, flags, stream, payload in self.frames[-12:]]
        return f"{'over, ' if self.is_over else ''}{said}"


def runs(talk: Talk, case: Case) -> None:
    """The case, and that one of its outcomes comes; where the connection goes on, that it answers."""
    talk.begin()
    for step in case.steps:
        if isinstance(step, bytes):
            talk.send(step)
        elif step.size is None:
            talk.wait("end", step.stream)
        else:
            talk.wait("content" if step.size else "head", step.stream, step.size)
    first = case.outcomes[0] if case.outcomes else None
    if isinstance(first, Goes):
        talk.wait("over")
    elif isinstance(first, Resets):
        talk.wait("reset", first.stream)
    elif isinstance(first, Answers):
        for stream in first.streams:
            talk.wait("end", stream)
    if case.goes_on and not talk.is_over:
        talk.send(head(PROBE))
        talk.wait("head", PROBE)
        assert talk.status(PROBE) == 200 or any(isinstance(outcome, Goes) for outcome in case.outcomes), str(talk)
    assert not case.outcomes or any(has_come(talk, outcome) for outcome in case.outcomes), f"{case.outcomes}: {talk}"


def has_come(talk: Talk, outcome: Outcome) -> bool:
    match outcome:
        case Goes(codes):
            return talk.is_over and bool(talk.goaways) and talk.goaways[-1][1] in codes
        case Resets(stream, codes):
            return talk.resets.get(stream) in codes and not talk.is_over
        case Answers(streams):
            return all(talk.status(stream) == 200 and stream in talk.ended for stream in streams)
        case Content(stream, sizes):
            return tuple(map(len, talk.content.get(stream, []))) == sizes
        case Says(frame):
            return frame in [frames.frame(*each) for each in talk.frames]
