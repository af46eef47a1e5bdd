"""Keeps connections busy with what a flood sends, and says how they ended."""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from attacked import Site
from http2_floods import Http2Flood

from balance.http2 import errors, frames

CODES = {value: name for name, value in vars(errors).items() if isinstance(value, int)}
TURN_S = 0.01


@dataclass
class Attacking:
    """One connection."""

    sock: socket.socket
    pieces: Iterator[bytes]
    next_at: float
    waiting: bytes = b""  # to be sent
    received: bytearray = field(default_factory=bytearray)  # of which no whole frame is left
    said: str = ""  # the last GOAWAY


class Http2Attacker:
    """As many connections as the flood has, each replaced when it has ended."""

    def __init__(self, site: Site, flood: Http2Flood) -> None:
        self.ends: Counter[str] = Counter()
        self._site = site
        self._flood = flood
        self._selector = selectors.DefaultSelector()
        self._open: list[Attacking] = []
        self._next_open = [0.0] * flood.connections

    def run(self, stop: Callable[[], bool]) -> str:
        """Until it is to stop. Returns how the connections ended."""
        try:
            while not stop():
                self._turn()
        finally:
            for each in self._open:
                each.sock.close()
            self._selector.close()
        parts = [f"{count} × {how}" for how, count in self.ends.most_common(2)]
        return ", ".join([*parts, f"{len(self._open)} open"])

    def _turn(self) -> None:
        now = time.monotonic()
        due = [at for at in self._next_open if at <= now]
        self._next_open = [at for at in self._next_open if at > now]
        for _ in due:
            self._begin(now)
        ready = [each for each in self._open if each.next_at <= now]
        for each in ready:
            self._send(each, now)
        for key, _ in self._selector.select(0.0 if ready else TURN_S):
            self._receive(key.data, now)

    def _begin(self, now: float) -> None:
        try:
            sock = self._site.connect()
        except OSError as error:
            self._count(type(error).__name__, now)
            return
        sock.setblocking(False)
        each = Attacking(sock, self._flood.pieces(), now)
        self._open.append(each)
        if self._flood.reads:
            self._selector.register(sock, selectors.EVENT_READ, each)

    def _send(self, each: Attacking, now: float) -> None:
        if not each.waiting:
            each.waiting = next(each.pieces)
            each.next_at = now + (self._flood.pause_s if self._flood.is_slow or not each.waiting else 0.0)
        if not each.waiting:
            return
        try:
            count = each.sock.send(each.waiting)
        except BlockingIOError:
            each.next_at = now + TURN_S
        except OSError:
            self._receive(each, now, is_last=True)
        else:
            each.waiting = each.waiting[count:]

    def _receive(self, each: Attacking, now: float, *, is_last: bool = False) -> None:
        while True:
            try:
                data = each.sock.recv(65536)
            except BlockingIOError:
                if is_last:
                    break
                return
            except OSError:
                data = b""
            each.received += data
            self._read(each)
            if not data:
                break
        if each in self._open:
            self._open.remove(each)
            if self._flood.reads:
                self._selector.unregister(each.sock)
            each.sock.close()
            self._count(each.said or "closed", now)

    def _read(self, each: Attacking) -> None:
        data, at = each.received, 0
        while len(data) >= at + frames.HEAD_BYTES:
            end = at + frames.HEAD_BYTES + int.from_bytes(data[at : at + 3], "big")
            if len(data) < end:
                break
            if data[at + 3] == frames.GOAWAY:
                code = int.from_bytes(data[at + 13 : at + 17], "big")
                each.said = f"{CODES.get(code, code)} {data[at + 17 : end].decode('ascii', 'replace')}".strip()
            at = end
        del data[:at]

    def _count(self, how: str, now: float) -> None:
        self.ends[how] += 1
        self._next_open.append(now + self._flood.pause_s)
