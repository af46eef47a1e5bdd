"""The control process: probes the backends, looks at their traffic, serves the side doors. No traffic passes here.

What it decides is on the board, so its death stops nothing and its successor knows all that it knew.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal

from balance.health.pace import first_delay_s
from balance.health.states import Event, State
from balance.probes.result import Result
from balance.probes.schedule import Watch
from balance.process.child import Report, obey
from balance.process.inspector import Inspector
from balance.process.kernel import end_with_parent, set_name
from balance.process.register import Register
from balance.process.seat import Seat, new_event_loop, watch_lifeline
from balance.side.admin import admin_app, metrics_app
from balance.side.inside import Inside
from balance.side.observer import Observer
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
            order=self._order,
        )
        self._register = Register(seat, self._inside.backends(), self._inside.events)

    async def serve(self, loop: asyncio.AbstractEventLoop, report: Report) -> None:
        """Watch and answer until told to stop."""
        stopped = asyncio.Event()
        obey(loop, stopped.set)
        watch_lifeline(loop, self._seat.lifeline, stopped.set)
        servers = self._open_side_doors()
        self._start_watches()
        Inspector(loop, self._seat, self._register).start()
        Observer(self._inside).start(loop)
        report.ready()
        await stopped.wait()
        for watch in self._watches.values():
            watch.stop()
        self._inside.events.close()
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
            watch = Watch(
                check, seen.backend, self._register.standings[seen.slot], functools.partial(self._answered, seen.slot)
            )
            self._watches[seen.slot] = watch
            watch.start(first_delay_s(check, index, len(checked)))

    def _answered(self, slot: int, result: Result) -> None:
        event = Event.PASS if result.is_ok else Event.FAIL
        self._register.take(slot, event, result.reason, is_explicit=result.is_explicit)

    def _order(self, slot: int, event: Event, reason: str) -> State:
        """An operator's word. Returns what holds now."""
        self._register.take(slot, event, reason)
        if event is Event.ENABLE and slot in self._watches:
            self._watches[slot].ask_now()
        return self._register.state(slot)

    def _last_result(self, slot: int) -> Result | None:
        watch = self._watches.get(slot)
        return watch.last if watch else None
