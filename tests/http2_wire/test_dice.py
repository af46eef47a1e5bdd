"""Frames by dice against an instance, before backends of both protocols: each answer is right, and nothing else is seen."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from h2_cases import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, data, frame, head
from recording_h2_server import RecordingH2Server
from recording_server import RecordingServer
from smuggling_rows import fields
from socket_talk import SocketTalk
from test_downgrade_smuggling import Site

from balance.http2 import frames
from balance.http2.frames import rst_stream, settings, window_update

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(300)]

CONNECTIONS = 400
FRAMES = 40  # of each
WINDOWS = (0, 1, 100, 65_535, frames.LARGEST_WINDOW)


@pytest.fixture(scope="module", params=["http1", "h2c"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RecordingServer() if request.param == "http1" else RecordingH2Server() as server:
        keys = {} if request.param == "http1" else {"protocol": request.param}
        made = Site(tmp_path_factory.mktemp("dice"), server, **keys)
        yield made
        made.close()


class Dice:
    """One connection; `asked` has the target of each stream whose request was begun."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.asked: dict[int, tuple[bytes, bytes]] = {}
        self.seed = seed
        self.next = 1
        self.open: list[int] = []  # streams whose requests have not ended

    def frame(self) -> bytes:
        """Most of them are right; one that is not may be the connection's last."""
        random = self.random
        stream = random.choice(self.open) if self.open and random.random() < 0.97 else random.randrange(self.next + 4)
        match random.choices(range(8), (30, 20, 25, 3, 8, 5, 5, 2))[0]:
            case 0:
                return self._request(ends=True)
            case 1:
                return self._request(ends=False)
            case 2:
                flags = random.choice((0, END_STREAM))
                return data(self._ended(stream, flags), random.randbytes(random.choice((0, 1, 10, 1000, 16_384))), flags)
            case 3:
                return rst_stream(self._ended(stream, END_STREAM), random.randrange(16))
            case 4:
                return window_update(random.choice((0, stream)), random.choice((1, 100, 65_535)))
            case 5:
                kinds = (frames.INITIAL_WINDOW_SIZE, frames.HEADER_TABLE_SIZE, frames.MAX_CONCURRENT_STREAMS)
                return settings([(random.choice(kinds), random.choice(WINDOWS))])
            case 6:
                return head(self._ended(stream, END_STREAM), [(b"x-sum", b"1")])
        kind = random.choice((PING, PRIORITY, DATA, HEADERS, CONTINUATION, 0x16, frames.GOAWAY))
        return frame(kind, random.randrange(256), random.choice((0, stream)), random.randbytes(random.choice((0, 4, 5, 8, 30))))

    def _ended(self, stream: int, flags: int) -> int:
        if flags and stream in self.open:
            self.open.remove(stream)
        return stream

    def _request(self, *, ends: bool) -> bytes:
        stream, self.next = self.next, self.next + 2
        method = b"GET" if ends else b"POST"
        target = b"/dice/%d/%d" % (self.seed, stream)
        self.asked[stream] = (method, target)
        if not ends:
            self.open.append(stream)
        length = (
            [] if ends or self.random.random() < 0.5 else [(b"content-length", b"%d" % self.random.choice((0, 1, 10, 1000)))]
        )
        return head(stream, fields(method, *length, path=target), END_HEADERS | (END_STREAM if ends else 0))


def test_what_is_answered_is_right_and_nothing_else_is_seen(site: Site) -> None:
    asked: set[tuple[bytes, bytes]] = set()
    answered = 0
    for seed in range(CONNECTIONS):
        dice = Dice(seed)
        with SocketTalk(site.port) as talk:
            talk.begin()
            written = b"".join(dice.frame() for _ in range(FRAMES))
            step = dice.random.choice((7, 500, 1 << 20))
            for start in range(0, len(written), step):
                talk.send(written[start : start + step])
            talk.sock.settimeout(0.02)
            while not talk.is_over and talk.receive():
                pass
        for stream, (method, target) in dice.asked.items():
            if stream in talk.ended and talk.status(stream) == 200:
                assert talk.body(stream) == method + b" " + target, f"seed {seed}: {talk}"
                answered += 1
        asked |= set(dice.asked.values())
        if seed % 20 == 19:
            asked |= set(site.ask_as_victim())
    assert answered > CONNECTIONS // 4
    assert {(each.method, each.target) for each in site.server.requests} <= asked
    assert site.server.garbage == []
    assert "Traceback" not in site.instance.log, site.instance.log
