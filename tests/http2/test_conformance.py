"""The public suite's cases, asked of a session in memory: frames in one piece, and byte by byte."""

from __future__ import annotations

import pytest
from h2_cases import CASES
from h2_talk import Talk, runs

from balance.http2.handler import SessionHandler
from balance.http2.hpack.field_encoder import encode
from balance.http2.request_head import RequestHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream


class Answering(SessionHandler):
    """Answers each whole request with its method and target, when all that came was read."""

    session: Session

    def __init__(self) -> None:
        self.asked: dict[int, RequestHead] = {}
        self.whole: list[Stream] = []

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        self.asked[stream.id] = head
        if ends:
            self.whole.append(stream)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self.session.taken(stream, len(content))
        if ends:
            self.whole.append(stream)

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        self.whole.append(stream)

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        self.session.streams.pop(stream.id, None)

    def answer(self) -> None:
        while self.whole:
            stream = self.whole.pop(0)
            if stream.is_reset:
                continue
            head = self.asked[stream.id]
            has_content = head.method != b"HEAD"
            self.session.head(stream, encode([(b":status", b"200")]), ends=not has_content)
            if has_content:
                self.session.content(stream, head.method + b" " + head.target, ends=True)
            if stream.local_ended:
                self.session.release(stream, 0.0)


class InMemory(Talk):
    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step
        self._handler = Answering()
        self._session = self._handler.session = Session(self._handler, SessionLimits(), 0.0, is_server=True)

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), self._step):
            more = self._session.feed(data[start : start + self._step], 0.0)
            while more:
                more = self._session.feed(b"", 0.0)
        self._handler.answer()

    def receive(self) -> bool:
        data = b"".join(self._session.out.parts)
        self._session.out.parts.clear()
        self.take(data)
        self.is_over = self._session.is_closed
        return bool(data)


@pytest.mark.parametrize("step", [1 << 20, 1])
@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_public_suite(name: str, step: int) -> None:
    runs(InMemory(step), CASES[name])


def test_the_table_has_as_many_cases_as_the_suite() -> None:
    assert len(CASES) == 146
