"""The control process: probes the backends, looks at their traffic, serves the side doors. No traffic passes here.

What it decides is on the board, so its death stops nothing and its successor knows all that it knew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
from dataclasses import replace

from balance.admin.events.watcher import EventWatcher
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import GenerationSeen
from balance.health.readiness import Stage
from balance.health.states import Event, State
from balance.probes.result import Result
from balance.process import logs
from balance.process.children.child import Report, obey
from balance.process.children.child_context import ChildContext, new_event_loop, watch_lifeline
from balance.process.control.admin_servers import AdminServers
from balance.process.control.file_watch import FileWatch
from balance.process.control.health_checks import HealthChecks
from balance.process.control.health_registry import HealthRegistry
from balance.process.control.orders import SupervisorOrders
from balance.process.control.outlier_detector import OutlierDetector
from balance.process.generation import distinct
from balance.process.ipc import messages
from balance.process.ipc.messages import Blueprint, Preparation
from balance.process.ipc.pipe import Message, unpacked
from balance.process.os_calls import end_with_parent, set_name
from balance.proxy.descriptor_limit import is_short
from balance.runtime import counters

log = logging.getLogger("balance.control")

FOLLOWED_S = 5.0  # by then the control process of the instance that was replaced is gone
BEAT_S = 0.5
SAY_EVERY_S = 10.0


def run(context: ChildContext, report: Report) -> int:
    """Be control until the supervisor says otherwise. Returns the exit status."""
    set_name("balance-control")
    end_with_parent(context.supervisor_pid, signal.SIGKILL)  # nothing here is worth finishing
    context.listen_sockets.close_listeners()
    for wakeup in context.wakeups:
        wakeup.worker_end.close()
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Control(loop, context, report).serve())
    return 0


class Control:
    """The watches and the side doors over one board."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ChildContext, report: Report) -> None:
        self._loop = loop
        self._context = context
        self._report = report
        self._stopped = asyncio.Event()
        self._health_checks = HealthChecks(self._answered, lambda pool: self._health_registry.outage(pool))
        self._orders = SupervisorOrders(report.end)
        self._generations = [generation.seen(context.generation.number) for generation in context.history]
        self._inside = StateView(
            config=context.config,
            slots=context.slots,
            board=context.board,
            supervisor_pid=context.supervisor_pid,
            control_pid=os.getpid(),
            started_at=context.started_at,
            listening=[(opening.listener, opening.address) for opening in context.listen_sockets.listeners],
            last_result=self._health_checks.last_result,
            order=self._order,
            steer=self._orders.steer,
            generations=lambda: self._generations,
            names=context.names,
        )
        self._health_registry = HealthRegistry(context, self._inside.backends(), self._inside.events, self._emptied)
        self._outlier_detector = OutlierDetector(loop, context, self._health_registry)
        self._doors = AdminServers(loop, self._inside)
        self._said_at = -SAY_EVERY_S  # that descriptors are short
        self._preparation: tuple[Preparation, Blueprint, dict[int, socket.socket]] | None = None

    async def serve(self) -> None:
        """Watch and answer until told to stop."""
        watch_lifeline(self._loop, self._context.lifeline, self._stopped.set)
        self._doors.lead(self._context.listen_sockets.of(None))
        self._health_checks.renew(self._inside.backends(), self._health_registry.standings)
        self._outlier_detector.start()
        EventWatcher(self._inside, self._context.control_restarts).start(self._loop)
        if self._context.is_watched:
            texts = (generation.source.text for generation in self._context.history)
            FileWatch(self._loop, self._context.generation.source.file, texts, self._file_changed).start()
        self._beat()
        obey(self._loop, self._report, self._told)
        self._report.ready()
        await self._stopped.wait()
        if self._inside.board.stage is Stage.DRAINING:  # else another instance has taken over, and serves
            cut = Totals(self._inside.board.rows).cell(counters.CUT)
            self._inside.events.tell("stage", "the instance ends", stage="ended", cut=cut)
        self._health_checks.stop()
        self._inside.events.close()
        await self._doors.close()

    def _beat(self) -> None:
        self._context.board.beat_control()
        self._look_at_descriptors()
        self._loop.call_later(BEAT_S, self._beat)

    def _look_at_descriptors(self) -> None:
        """Checks that have none fail, and callers of the side doors are closed: that must be seen."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        now = self._loop.time()
        if limit > 0 and now >= self._said_at + SAY_EVERY_S and is_short(limit):
            self._said_at = now
            log.warning("next to none of %d file descriptors are left: checks and the side doors may fail (`ulimit -n`)", limit)

    def _file_changed(self) -> None:
        """Nobody waits for the verdict: the log says it."""
        self._report.end.say(messages.FILE_CHANGED)

    def _told(self, message: Message) -> None:
        """By the supervisor."""
        match message.kind:
            case messages.END:
                self._stopped.set()
            case messages.VERDICT:
                self._orders.heard(*message.data)
            case messages.FOLLOW:
                self._follow()
                # Its control process may still say something until it is gone.
                self._loop.call_later(FOLLOWED_S, self._follow)
            case messages.REOPEN:
                logs.reopen(self._inside.config.logging)
            case messages.REASSERT:
                self._health_registry.reassert()
                self._outlier_detector.await_returns()
            case messages.PREPARE:
                self._prepare(message)
            case messages.COMMIT if self._preparation is not None and self._preparation[0].number == message.data:
                self._commit(*self._preparation)
            case messages.ABANDON:
                self._drop()

    def _follow(self) -> None:
        self._health_registry.follow()
        self._outlier_detector.await_returns()

    def _prepare(self, message: Message) -> None:
        """Another configuration may come. Nothing here can go wrong with it; what takes long is done now."""
        self._drop()
        preparation: Preparation = message.data
        if len(message.fds) != 1 + len(preparation.new):
            self._report.end.say(messages.REFUSED, (preparation.number, messages.NO_ROOM))
            for fd in message.fds:
                os.close(fd)
            return
        file, *fds = message.fds
        blueprint: Blueprint = unpacked(file)[1]
        os.close(file)
        new = {number: socket.socket(fileno=fd) for number, fd in zip(preparation.new, fds, strict=True)}
        self._preparation = preparation, blueprint, new
        self._report.end.say(messages.PREPARED, preparation.number)

    def _commit(self, preparation: Preparation, blueprint: Blueprint, new: dict[int, socket.socket]) -> None:
        self._preparation = None
        inside = self._inside
        inside.config, inside.slots, inside.listening = blueprint.config, blueprint.slots, preparation.listening
        inside.names = {**inside.names, **{slot: name for name, slot in blueprint.slots.items()}}
        seen = GenerationSeen(blueprint.number, blueprint.made_at, blueprint.origin, blueprint.config, True, blueprint.summary)
        self._generations = distinct([*(replace(each, is_current=False) for each in self._generations), seen])
        self._health_registry.renew(inside.backends())
        self._health_checks.renew(inside.backends(), self._health_registry.standings)
        self._outlier_detector.renew()
        for pool in blueprint.config.pools:
            if self._health_registry.outage(pool.name):
                self._emptied(pool.name)
        have = self._doors.sockets | new
        self._doors.lead([(name, have[number]) for name, number in preparation.sockets])
        logs.reopen(blueprint.config.logging)
        self._report.end.say(messages.COMMITTED, blueprint.number)

    def _drop(self) -> None:
        if self._preparation is not None:
            for sock in self._preparation[2].values():
                sock.close()
            self._preparation = None

    def _answered(self, slot: int, result: Result) -> None:
        event = Event.PASS if result.is_ok else Event.FAIL
        self._health_registry.take(slot, event, result.reason, is_explicit=result.is_explicit)

    def _emptied(self, pool: str) -> None:
        """Nobody there is ready. What can change that is asked for now, as soon as whatever is going on here is done."""
        self._loop.call_soon(self._look_for_somebody, pool)

    def _look_for_somebody(self, pool: str) -> None:
        if self._health_registry.outage(pool):
            self._outlier_detector.give_way(pool)
            for slot in self._health_registry.slots(pool):
                if not self._health_registry.state(slot).is_operator_set:
                    self._health_checks.ask_now(slot)

    def _order(self, slot: int, event: Event, reason: str) -> State:
        """An operator's word. Returns what holds now."""
        self._health_registry.take(slot, event, reason)
        if event is Event.ENABLE:
            self._health_checks.ask_now(slot)
        return self._health_registry.state(slot)
