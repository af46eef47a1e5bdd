"""One worker process: traffic and nothing else. Decides when traffic starts and ends, not how it flows.

It takes what it needs from the board when it is born, so it can be replaced at any time by another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal

from balance.balancing import POLICIES, Needs
from balance.config.model import Config
from balance.process.child import Report, obey
from balance.process.kernel import set_name
from balance.process.outlook import Outlook
from balance.process.seat import Seat, new_event_loop, watch_lifeline
from balance.proxy.traffic import Traffic
from balance.runtime import cells
from balance.runtime.snapshot import build

log = logging.getLogger("balance.worker")

LOOK_AROUND_S = 0.2  # how often least-connections learns what the other workers hold
OVERTIME_S = 5  # after the drain's own deadline, for closing; then the kernel ends us


def run(seat: Seat, slot: int, report: Report) -> int:
    """Be the worker in that slot until the supervisor says otherwise. Returns the exit status."""
    set_name("balance-worker")
    seat.openings.keep_for_worker(slot)
    for index, channel in enumerate(seat.channels):
        if index != slot:
            channel.worker_end.close()  # their other end stays open here, to ring them
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Worker(loop, seat, slot).serve(report))
    return 0


def drain_s(config: Config) -> float:
    """How long work in flight may take at the end: the longest that any listener grants."""
    return max(listener.timeouts.drain_s for listener in config.listeners)


class Worker:
    """What connects the traffic to the rest of the instance."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seat: Seat, slot: int) -> None:
        self._loop = loop
        self._seat = seat
        self._slot = slot
        self._stopped = asyncio.Event()
        row = cells.Row(seat.board.rows[slot])
        self._outlook = Outlook(loop, seat, slot)
        snapshot = build(seat.config, seat.slots, row, random.random, self._outlook.shared)
        self._traffic = Traffic(loop, snapshot, row, seat.config.logging)
        self._outlook.begin(snapshot, self._traffic)

    async def serve(self, report: Report) -> None:
        """Accept until told to stop, then drain."""
        seat, loop = self._seat, self._loop
        obey(loop, self._stopped.set)
        watch_lifeline(loop, seat.lifeline, self._stopped.set)
        loop.add_reader(seat.channels[self._slot].worker_end, self._outlook.heard)
        seat.board.rows[self._slot][cells.PID] = os.getpid()
        await self._traffic.open(seat.openings.of_worker(self._slot))
        if len(seat.channels) > 1 and any(Needs.ELSEWHERE in POLICIES[pool.algorithm].needs for pool in seat.config.pools):
            self._look_around()
        report.ready()
        await self._stopped.wait()
        await self._drain()

    def _look_around(self) -> None:
        board, slot = self._seat.board, self._slot
        self._traffic.see_others(lambda backend: board.active_elsewhere(slot, backend))
        self._loop.call_later(LOOK_AROUND_S, self._look_around)

    async def _drain(self) -> None:
        limit_s = drain_s(self._seat.config)
        with contextlib.suppress(OverflowError):
            # A worker that no longer turns, or whose supervisor is dead, must end too: by default SIGALRM kills.
            signal.alarm(int(limit_s) + OVERTIME_S)
        cut = await self._traffic.drain(limit_s)
        if cut:
            log.warning("%d requests or connections were cut after %gs of draining", cut, limit_s)
