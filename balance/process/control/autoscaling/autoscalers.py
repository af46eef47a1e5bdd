"""The autoscalers of all pools, in control: made and ended as the configuration says, with what they measure by."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from balance.admin.autoscaling.state import AutoscalerView
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.autoscaling.fleet import Phase
from balance.autoscaling.load_meter import Counters
from balance.config.model import Config, PoolConfig, RedisConfig
from balance.discovery.discovered_pool import DiscoveredPool
from balance.process.control.autoscaling.coordination import Alone, Coordination, Remembered, Together
from balance.process.control.autoscaling.driver import Driver
from balance.process.control.autoscaling.exec_driver import ExecDriver
from balance.process.control.autoscaling.keeper_client import KeeperClient, KeptProcess
from balance.process.control.autoscaling.pool_autoscaler import PoolAutoscaler, Size
from balance.process.control.autoscaling.process_driver import STOP_GRACE_S, ProcessDriver
from balance.process.control.autoscaling.started_endpoints import StartedEndpoints
from balance.runtime import counters

log = logging.getLogger("balance.autoscaler")

TIME_COUNT: Final = range(counters.UPSTREAM_TIME, counters.UPSTREAM_TIME + counters.TIME_SUM)


class Autoscalers:
    """One in control."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        view: StateView,
        keeper_fd: int | None,
        remembered: Mapping[str, Remembered],
        sets: Iterable[DiscoveredPool],
        keep: Callable[[int], object],
        remember: Callable[[str, Remembered], object],
    ) -> None:
        """`keep` has the supervisor hold the keeper's socket (-1: not any more), `remember` the last change of a pool.
        `sets` are served already."""
        self._loop = loop
        self._view = view
        self._remembered = dict(remembered)
        self._remember_there = remember
        # The instance's, not this process's: the successor of a control that died is the same balancer, with the same load.
        self._own_id = f"{socket.gethostname()}:{view.supervisor_pid}:{round(view.started_at * 1e6):x}"
        self._endpoints = StartedEndpoints(view.submit_order, sets)
        self._keeper = KeeperClient(loop, keeper_fd, self._listed, keep)
        self._drivers: dict[str, ProcessDriver] = {}  # they live on when only numbers change
        self._is_started = False
        self._scalers: dict[str, tuple[tuple[PoolConfig, RedisConfig], PoolAutoscaler]] = {}

    def start(self) -> None:
        """From now on scale the pools."""
        self._is_started = True
        self.update(self._view.config)
        self._keeper.open()

    def update(self, config: Config) -> None:
        """A reload: from now on scale these."""
        if not self._is_started:
            return
        wanted = {pool.name: (pool, config.redis) for pool in config.pools if pool.autoscaler.enabled}
        for name, (made_of, scaler) in list(self._scalers.items()):
            if name not in wanted or not _is_same(made_of, wanted[name]):
                scaler.stop()
                del self._scalers[name]
        for name in [name for name, driver in self._drivers.items() if not _starts(wanted.get(name))]:
            log.info("pool %s: has no autoscaler that starts processes any more: they leave", name)
            self._drivers.pop(name).retire()
        for name, (pool, redis) in wanted.items():
            if name in self._drivers:
                self._drivers[name].configure(pool, config.drain_s)
            if name not in self._scalers:
                try:
                    made = self._make(pool, redis, config.drain_s)
                except Exception:  # a reload is under way, and other pools have theirs
                    log.exception("the autoscaler of pool %s can't be made", name)
                    continue
                self._scalers[name] = ((pool, redis), made)
                made.start()

    def views(self) -> list[AutoscalerView]:
        """What is known of each, in the order of the pools."""
        found = []
        for name in [pool.name for pool in self._view.config.pools if pool.name in self._scalers]:
            scaler = self._scalers[name][1]
            view = replace(
                scaler.view,
                decisions=dict(scaler.decisions),
                errors=dict(scaler.errors),
                changed_ago_s=_since(scaler.changed_at, self._loop.time()),
            )
            driver = self._drivers.get(name)
            if driver is not None:
                phases = {phase.value: driver.fleet.count(phase) for phase in Phase}
                view = replace(view, processes=phases, is_crashing=driver.is_crashing)
            found.append(view)
        return found

    def close(self) -> None:
        """Control ends. Processes that were started stay until the instance ends, or go on with the next control."""
        for _, scaler in self._scalers.values():
            scaler.stop()
        for driver in self._drivers.values():
            driver.close()
        self._endpoints.close()
        self._keeper.close()

    def _make(self, pool: PoolConfig, redis: RedisConfig, drain_s: float) -> PoolAutoscaler:
        driver = self._driver(pool, drain_s)
        coordination: Coordination
        if driver.is_shared and redis.url:
            from balance.shared_store.redis_leadership import RedisLeadership  # heavy, and only where it is configured

            coordination = Together(RedisLeadership(redis, pool.name, self._own_id))
        else:
            coordination = Alone(pool.name, self._remembered.get(pool.name), self._remember)
        return PoolAutoscaler(
            self._loop,
            pool,
            driver,
            coordination,
            lambda: self._counters(pool.name),
            lambda: self._size(pool.name),
            self._view.events,
        )

    def _driver(self, pool: PoolConfig, drain_s: float) -> Driver:
        config = pool.autoscaler
        match config.driver:
            case "exec":
                return ExecDriver(config, pool.name)
            case "webhook":
                from balance.process.control.autoscaling.webhook_driver import WebhookDriver

                return WebhookDriver(config, pool.name)
            case "kubernetes":
                from balance.process.control.autoscaling.kubernetes_driver import KubernetesDriver

                return KubernetesDriver(config, pool.name)
            case _:
                if pool.name not in self._drivers:
                    under_way = lambda name: self._under_way(pool.name, name)  # noqa: E731
                    self._drivers[pool.name] = ProcessDriver(
                        self._loop, pool, self._keeper, self._endpoints, drain_s, under_way
                    )
                return self._drivers[pool.name]

    def _remember(self, pool: str, last: Remembered) -> None:
        self._remembered[pool] = last
        self._remember_there(pool, last)

    # --- what the board says ------------------------------------------------------------------------------

    def _slots(self, pool: str) -> dict[str, int]:
        return {name: slot for (of, name), slot in self._view.slots.items() if of == pool}

    def _counters(self, pool: str) -> dict[int, Counters]:
        """By slot, those of backends that drain, too: their requests are the pool's load."""
        board = self._view.board
        totals, slots = Totals(board.rows), board.slots
        begun, active, waiting = (totals.column(cell, slots) for cell in (counters.LEASES, counters.ACTIVE, counters.WAITING))
        ended = time_us = [0] * slots
        if self._scalers[pool][0][0].autoscaler.metric == "latency":  # only then what takes a while to add up
            ended = list(map(sum, zip(*(totals.column(cell, slots) for cell in TIME_COUNT), strict=True)))
            time_us = totals.column(counters.UPSTREAM_TIME + counters.TIME_SUM, slots)
        return {
            slot: Counters(begun[slot], ended[slot], time_us[slot], active[slot], waiting[slot])
            for slot in self._slots(pool).values()
        }

    def _under_way(self, pool: str, name: str) -> int:
        slot = self._view.slots.get((pool, name))
        return 0 if slot is None else Totals(self._view.board.rows).cell(counters.block(slot) + counters.ACTIVE)

    def _size(self, pool: str) -> Size:
        """Backups and those that an operator has taken out are no members."""
        members = ready = 0
        for each in self._view.backends():
            if each.pool.name == pool and each.backend.weight and not each.backend.backup and not each.state.is_operator_set:
                members += 1
                ready += each.state.is_ready
        return Size(members, ready)

    # --- the keeper ---------------------------------------------------------------------------------------

    def _listed(self, processes: list[KeptProcess]) -> None:
        by_pool: dict[str, list[KeptProcess]] = {name: [] for name in self._drivers}
        for each in processes:
            pool, _, name = each.name.partition("/")
            if pool in by_pool:
                by_pool[pool].append(replace(each, name=name))
            elif each.status:
                self._keeper.forget(each.name)
            elif not each.is_stopping:
                # Of a pool that is not configured so any more: control was restarted in between.
                self._keeper.stop(each.name, STOP_GRACE_S)
        for pool, found in by_pool.items():
            self._drivers[pool].listed(found)


def _since(changed_at: float, now: float) -> float | None:
    ago = now - changed_at
    return ago if ago < 1e12 else None


def _starts(wanted: tuple[PoolConfig, RedisConfig] | None) -> bool:
    return wanted is not None and wanted[0].autoscaler.driver == "process"


def _is_same(one: tuple[PoolConfig, RedisConfig], other: tuple[PoolConfig, RedisConfig]) -> bool:
    """Whether an autoscaler goes on undisturbed. Its backends come and go without it."""
    return (one[0].autoscaler, one[1]) == (other[0].autoscaler, other[1])
