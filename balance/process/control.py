"""The control process: probes the backends, decides their states, serves the side doors. No traffic passes here.

What it decides is on the board, so its death stops nothing and its successor knows all that it knew.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal

from balance.health.thresholds import State, Thresholds, Transition, first_delay_s
from balance.probes.result import Result
from balance.probes.schedule import Watch
from balance.process.channel import Message
from balance.process.child import END, Report
from balance.process.kernel import end_with_parent, set_name
from balance.process.seat import Seat, new_event_loop, watch_lifeline
from balance.side.admin import admin_app, metrics_app
from balance.side.inside import Inside, Seen
from balance.side.server import SideServer

log = logging.getLogger("balance.control")


def run(seat: Seat, report: Report) -> int:
    """Be control until the supervisor says otherwise. Returns the exit status."""
    set_name("balance-control")
    end_with_parent(seat.supervisor_pid, signal.SIGKILL)  # nothing here is worth finishing
    seat.openings.close_listeners()
    for channel in seat.channels:
        channel.worker_end.close()
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Control(seat).serve(loop, report))
    return 0


class Control:
    """The watches and the side doors over one board."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._watches: dict[int, Watch] = {}
        self._inside = Inside(
            config=seat.config,
            slots=seat.slots,
            board=seat.board,
            supervisor_pid=seat.supervisor_pid,
            control_pid=os.getpid(),
            started_at=seat.started_at,
            listening=[(opening.listener, opening.address) for opening in seat.openings.listeners],
            last_result=self._last_result,
        )

    async def serve(self, loop: asyncio.AbstractEventLoop, report: Report) -> None:
        """Watch and answer until told to stop."""
        stopped = asyncio.Event()
        loop.add_signal_handler(END, stopped.set)
        watch_lifeline(loop, self._seat.lifeline, stopped.set)
        servers = self._open_side_doors()
        self._start_watches()
        report.ready()
        await stopped.wait()
        for watch in self._watches.values():
            watch.stop()
        await asyncio.gather(*(server.stop() for server in servers))

    def _open_side_doors(self) -> list[SideServer]:
        servers = []
        for name, openings, app in (
            ("admin", self._seat.openings.admin, admin_app),
            ("metrics", self._seat.openings.metrics, metrics_app),
        ):
            if openings:
                server = SideServer(app(self._inside))
                server.start([opening.sockets[0] for opening in openings], f"the {name} server")
                servers.append(server)
        return servers

    def _start_watches(self) -> None:
        checked = [seen for seen in self._inside.backends() if seen.pool.health_check.enabled]
        for index, seen in enumerate(checked):
            check = seen.pool.health_check
            thresholds = Thresholds(check, seen.state, seen.since)
            watch = Watch(check, seen.backend, thresholds, functools.partial(self._changed, seen))
            self._watches[seen.slot] = watch
            watch.start(first_delay_s(check, index, len(checked)))

    def _changed(self, seen: Seen, transition: Transition, now: float) -> None:
        self._seat.board.set_state(seen.slot, transition.after, now)
        for channel in self._seat.channels:
            channel.ring(Message.STATES)
        times = f" ({transition.streak} times in a row)" if transition.streak > 1 else ""
        log.log(
            logging.INFO if transition.after is State.HEALTHY else logging.WARNING,
            "backend %s/%s (%s) is %s: %s%s",
            *(seen.pool.name, seen.backend.name, seen.backend.address, transition.after.word, transition.reason, times),
        )

    def _last_result(self, slot: int) -> Result | None:
        watch = self._watches.get(slot)
        return watch.last if watch else None
