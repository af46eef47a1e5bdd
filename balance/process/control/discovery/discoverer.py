"""Runs the sources of all pools in control, and has the supervisor serve what they find.

source ──report──▶ EndpointSet ──due──▶ one order for all pools that are due ──▶ supervisor

One order at a time: while one is served, what comes besides waits for the next. After each the orders rest for some times as
long as it took, so that a source that never rests takes a bounded part of a machine.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from balance.admin.discovery import DiscoveryView
from balance.admin.events.history import EventLog
from balance.admin.supervisor_orders import ChangeDiscovered, Order, OrderResult
from balance.config.model import Config
from balance.discovery.answer import Report, SourceFailure
from balance.discovery.discovered_pool import DISCOVERY, DiscoveredPool
from balance.discovery.endpoint_set import EndpointSet
from balance.discovery.settings import Discovery
from balance.process.control.discovery import source_of
from balance.process.control.discovery.change_log import ChangeLog
from balance.process.control.discovery.file_look import FileFeed
from balance.process.control.discovery.source import Source

log = logging.getLogger("balance.control")

REST: Final = 2.0  # times as long as an order took: a third of the time goes into orders at most
LONGEST_REST_S: Final = 5.0
RESTART_S: Final = 5.0  # after a bug in a source


class PoolDiscovery:
    """One pool with a source."""

    __slots__ = ("discovery", "endpoints", "log", "pool", "source", "task")

    def __init__(self, pool: str, discovery: Discovery, endpoints: EndpointSet, log: ChangeLog, source: Source) -> None:
        self.pool = pool
        self.discovery = discovery
        self.endpoints = endpoints
        self.log = log
        self.source = source
        self.task: asyncio.Task[None] | None = None


class Discoverer:
    """See the module."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        submit_order: Callable[[Order], Awaitable[OrderResult]],
        events: EventLog,
        sets: Iterable[DiscoveredPool],
        files: FileFeed | None = None,
    ) -> None:
        """`sets` are served already. `files`: another process looks at files."""
        self._loop = loop
        self._submit_order = submit_order
        self._events = events
        self._known = {each.pool: each for each in sets if each.by == DISCOVERY}
        self._files = files
        self._pools: dict[str, PoolDiscovery] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ordering: asyncio.Task[None] | None = None
        self._rests_until = 0.0
        self._dropped: tuple[str, ...] = ()  # as said last

    def update(self, config: Config) -> None:
        """The pools that are served now. A source that stays is not disturbed."""
        wanted = {pool.name: pool.discovery for pool in config.pools if pool.discovery is not None}
        for name in [name for name in self._pools if name not in wanted]:
            self._stop(self._pools.pop(name))
            self._known.pop(name, None)
        for name, discovery in wanted.items():
            before = self._pools.get(name)
            if before is not None and before.discovery == discovery:
                continue
            endpoints = before.endpoints if before is not None else None
            if endpoints is None:
                endpoints = EndpointSet(discovery, self._loop.time(), self._known.pop(name, None))
            endpoints.configure(discovery)
            if before is not None and before.discovery.source == discovery.source:
                before.discovery = discovery
                continue
            if before is not None:
                self._stop(before)
            source = source_of(discovery.source, name)
            if self._files is not None:
                source.read_through(self._files)
            made = PoolDiscovery(name, discovery, endpoints, ChangeLog(name, source, self._events), source)
            self._pools[name] = made
            made.task = self._loop.create_task(self._run(made), name=f"discovery of {name}")
        self._schedule()

    def close(self) -> None:
        """Ask nobody any more."""
        for each in self._pools.values():
            self._stop(each)
        if self._timer is not None:
            self._timer.cancel()

    def states(self) -> Mapping[str, DiscoveryView]:
        """By pool."""
        offset = time.time() - self._loop.time()  # from the loop's clock to that of the wall

        def at(seconds: float | None) -> float | None:
            return None if seconds is None else seconds + offset

        return {
            each.pool: DiscoveryView(
                kind=each.discovery.kind,
                source=each.source.where,
                standing=each.endpoints.standing,
                since=each.endpoints.since + offset,
                endpoints=len(each.endpoints.served),
                last_answer_at=at(each.endpoints.last_answer_at),
                failure=each.endpoints.failure,
                failed_at=at(each.endpoints.failed_at),
                refusal=each.endpoints.refusal,
                is_held=each.endpoints.is_held,
                next_look_at=at(each.source.next_look_s),
                results=each.endpoints.results,
            )
            for each in self._pools.values()
        }

    def _stop(self, stopped: PoolDiscovery) -> None:
        if stopped.task is not None:
            stopped.task.cancel()

    async def _run(self, made: PoolDiscovery) -> None:
        """Run a source for as long as the pool has it; it does not end by itself."""

        def on_report(report: Report) -> None:
            if self._pools.get(made.pool) is made:
                self._on_report(made, report)

        while True:
            try:
                await made.source.run(on_report)
            except Exception as error:
                log.exception("discovery of pool %s", made.pool)
                on_report(SourceFailure(f"a bug: {type(error).__name__}: {error}"))
            await asyncio.sleep(RESTART_S)

    def _on_report(self, made: PoolDiscovery, report: Report) -> None:
        made.endpoints.report(report, self._loop.time())
        made.log.reported(made.endpoints, self._loop.time())
        self._schedule()

    def _schedule(self) -> None:
        """Have the next order made when it is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ordering is not None:
            return
        due = min((each.endpoints.due for each in self._pools.values()), default=float("inf"))
        if due != float("inf"):
            self._timer = self._loop.call_at(max(due, self._rests_until), self._begin_order)

    def _begin_order(self) -> None:
        self._timer = None
        self._ordering = self._loop.create_task(self._order(), name="an order of discovery")
        self._ordering.add_done_callback(self._order_ended)

    def _order_ended(self, task: asyncio.Task[None]) -> None:
        self._ordering = None
        with suppress(asyncio.CancelledError):
            if (error := task.exception()) is not None:
                log.error("an order of discovery", exc_info=error)
        self._schedule()

    async def _order(self) -> None:
        began = self._loop.time()
        taken = [(each, each.endpoints.take(began, each.pool)) for each in self._pools.values()]
        sets = [(each, found) for each, found in taken if found is not None]
        for each, _ in taken:
            each.log.reported(each.endpoints, began)
        if not sets:
            return
        result = await self._submit_order(ChangeDiscovered(tuple(found for _, found in sets)))
        now = self._loop.time()
        self._rests_until = now + min(REST * (now - began), LONGEST_REST_S)
        if result.dropped != self._dropped:
            for line in result.dropped:
                log.warning("%s", line)
        self._dropped = result.dropped
        for each, found in sets:
            if result.is_done:
                before = each.endpoints.served
                each.endpoints.was_served(found, now)
                each.log.served(before, found.endpoints, now)
            else:
                each.endpoints.was_refused("; ".join(result.problems[:3]) or "refused", now)
                each.log.refused(each.endpoints.refusal)
