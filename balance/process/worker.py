"""One worker process: traffic and nothing else. Decides when traffic starts, changes and ends, not how it flows.

It takes what it needs from the board when it is born, so it can be replaced at any time by another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal

from balance.balancing import POLICIES, Needs
from balance.process.changeover import Changeover
from balance.process.child import Report, obey
from balance.process.kernel import set_name
from balance.process.line import Message
from balance.process.openings import inode
from balance.process.outlook import Outlook
from balance.process.seat import Seat, new_event_loop, watch_lifeline
from balance.process.words import END, REOPEN
from balance.proxy.traffic import Traffic
from balance.runtime import cells
from balance.runtime.snapshot import build

log = logging.getLogger("balance.worker")

LOOK_AROUND_S = 0.2  # how often least-connections learns what the other workers hold
OVERTIME_S = 5  # after the drain's own deadline, for closing; then the kernel ends us


def run(seat: Seat, slot: int, row: int, report: Report) -> int:
    """Be the worker in that slot, counting on that row, until the supervisor says otherwise. Returns the exit status."""
    set_name("balance-worker")
    seat.openings.keep_for_worker(slot)
    for index, channel in enumerate(seat.channels):
        if index != row:
            channel.worker_end.close()  # their other end stays open here, to ring them
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Worker(loop, seat, slot, row).serve(report))
    return 0


class Worker:
    """What connects the traffic to the rest of the instance."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seat: Seat, slot: int, row: int) -> None:
        self._loop = loop
        self._seat = seat
        self._slot = slot
        self._index = row
        self._stopped = asyncio.Event()
        self._limit_s = seat.config.drain_s
        self._cells = seat.board.rows[row]
        counters = cells.Row(self._cells)
        self._outlook = Outlook(loop, seat, row)
        snapshot = build(seat.config, seat.slots, counters, random.random, self._outlook.shared)
        self._traffic = Traffic(loop, snapshot, counters, seat.config.logging, self._outlook.shared)
        self._outlook.begin(snapshot, self._traffic)
        self._traffic.catch_up = self._outlook.catch_up
        self._changeover = Changeover(loop, self._traffic, self._outlook, counters)

    async def serve(self, report: Report) -> None:
        """Accept until told to stop, then drain."""
        seat, loop = self._seat, self._loop
        watch_lifeline(loop, seat.lifeline, self._stopped.set)
        loop.add_reader(seat.channels[self._index].worker_end, self._outlook.heard)
        row = self._cells
        row[cells.PID] = os.getpid()
        row[cells.PLACE] = self._slot + 1
        row[cells.GENERATION] = seat.generation.number
        self._outlook.look()  # from now on bells ring here: what was written between the first look and this one
        sockets = seat.openings.of_worker(self._slot)
        await self._traffic.open(sockets)
        self._changeover.begin({inode(sock): sock for _, sock in sockets}, report.end)
        self._look_around()
        obey(loop, report, self._told)
        gc.freeze()  # of a large configuration, which is here to stay, a collection would hold the loop
        report.ready()
        await self._stopped.wait()
        await self._drain()

    def _told(self, message: Message) -> None:
        """By the supervisor."""
        if message.kind == END:
            self._finish(message.data)
        elif message.kind == REOPEN:
            self._changeover.reopen_logs()
        else:
            self._changeover.told(message)

    def _finish(self, limit_s: float) -> None:
        """End within `limit_s`; the last word counts."""
        self._limit_s = limit_s
        with contextlib.suppress(OverflowError):
            # A worker that no longer turns, or whose supervisor is dead, must end too: by default SIGALRM kills.
            signal.alarm(int(limit_s) + OVERTIME_S)
        self._traffic.hurry(limit_s)
        self._stopped.set()

    def _look_around(self) -> None:
        pools = self._traffic.snapshot.pools.values()
        if any(Needs.ELSEWHERE in POLICIES[pool.algorithm].needs for pool in pools):
            self._traffic.see_others(self._seat.board.active_elsewhere(self._index))
        self._loop.call_later(LOOK_AROUND_S, self._look_around)

    async def _drain(self) -> None:
        self._cells[cells.LEAVING] = 1
        self._finish(self._limit_s)
        cut = await self._traffic.drain(self._limit_s)
        self._cells[cells.CUT] += cut
        if cut:
            log.warning("%d requests or connections were cut after %gs of draining", cut, self._limit_s)
