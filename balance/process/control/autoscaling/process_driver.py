"""Driver `process`: starts and stops a command once a backend, on this machine; the keeper owns the processes.

A process joins the pool when it has passed the pool's health check (without one: when it takes a connection). One that leaves
first gets nothing new, then finishes what it has (at most timeouts.drain), then is taken out, then gets SIGTERM, and SIGKILL
STOP_GRACE_S later. A reload with another command replaces the processes, new ones first. What runs is the keeper's to say:
after a crash of control nothing is started twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
from collections.abc import Callable
from typing import ClassVar, Final

from balance.autoscaling.crash_loop import MAX_CRASHES, STOPPED_S
from balance.autoscaling.fleet import Fleet, Instance, Phase, Step, Todo
from balance.autoscaling.settings import AutoscalerConfig
from balance.background_tasks import spawn
from balance.config.model import BackendConfig, HealthCheck, PoolConfig
from balance.discovery.endpoint import Endpoint
from balance.model import Address
from balance.probes import PROBES
from balance.process.control.autoscaling.driver import Change, Driver
from balance.process.control.autoscaling.keeper_client import KeeperClient, KeptProcess
from balance.process.control.autoscaling.started_endpoints import StartedEndpoints

log = logging.getLogger("balance.autoscaler")

HOST: Final = "127.0.0.1"
STOP_GRACE_S: Final = 10.0
SETTLE_S: Final = 2.0  # from being taken out of use to every worker's knowing it
PROBE_S: Final = 0.5
TICK_S: Final = 1.0


class ProcessDriver(Driver):
    """One pool's."""

    is_shared: ClassVar[bool] = False  # each machine has its own

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: PoolConfig,
        keeper: KeeperClient,
        endpoints: StartedEndpoints,
        drain_s: float,
        under_way: Callable[[str], int],
    ) -> None:
        """`under_way` says how many requests a backend of the pool has now."""
        self._loop = loop
        self._keeper = keeper
        self._endpoints = endpoints
        self._under_way = under_way
        self._pool = pool
        self.fleet = Fleet(drain_s, recipe=_recipe(pool.autoscaler))
        self._is_known = not keeper.is_running  # else its list comes
        self._probing: set[str] = set()
        self._crash_said = False
        self._is_closed = False
        self._timer = loop.call_later(TICK_S, self._tick)

    def configure(self, pool: PoolConfig, drain_s: float) -> None:
        """A reload. Another command replaces the processes."""
        self._pool = pool
        self.fleet.drain_s = drain_s
        recipe = _recipe(pool.autoscaler)
        if recipe != self.fleet.recipe:
            self.fleet.recipe = recipe
            self.fleet.crash_loop.reset()
            self._crash_said = False
        self._act()

    @property
    def is_crashing(self) -> bool:
        return self.fleet.crash_loop.is_stopped

    async def current(self, token: int) -> int | None:
        return self.fleet.desired if self._is_known else None

    async def scale(self, change: Change) -> None:
        self.fleet.desired = change.desired
        self._act()

    def close(self) -> None:
        """Control ends: the processes stay, until the instance ends."""
        self._is_closed = True
        self._timer.cancel()

    def retire(self) -> None:
        """The pool has no such autoscaler any more: its processes leave."""
        self.close()
        self._endpoints.publish(self._pool.name, ())
        for instance in self.fleet.instances.values():
            self._loop.call_later(SETTLE_S, self._keeper.stop, self._full(instance.name), STOP_GRACE_S)

    # --- what runs ----------------------------------------------------------------------------------------

    def listed(self, processes: list[KeptProcess]) -> None:
        """The keeper's list, of this pool, by the names that the fleet has."""
        now = self._loop.time()
        fleet = self.fleet
        served = {each.key for each in self._endpoints.served(self._pool.name)}
        running = {each.name: each for each in processes if not each.status}
        for each in processes:
            if each.status:
                self._ended(each.name, each.status, now)
                self._keeper.forget(self._full(each.name))
            elif (instance := fleet.instances.get(each.name)) is not None:
                instance.pid, instance.port = each.pid, each.port
                if instance.phase is Phase.STOPPING and not each.is_stopping and now - instance.since > STOP_SEEN_S:
                    self._keeper.stop(self._full(each.name), STOP_GRACE_S)  # the order was lost: the socket was full
            else:
                phase = Phase.STOPPING if each.is_stopping else Phase.SERVING if each.name in served else Phase.STARTING
                fleet.adopt(Instance(each.name, phase, now, each.port, each.pid, each.recipe))
        for instance in list(fleet.instances.values()):
            if instance.name not in running and (instance.pid or now - instance.since > START_SEEN_S):
                self._ended(instance.name, "lost with the keeper", now)
        if not self._is_known:
            self._is_known = True
            fleet.desired = fleet.count(Phase.STARTING, Phase.SERVING)
            if fleet.desired:
                log.info("pool %s: goes on with %d processes that were started before", self._pool.name, fleet.desired)
        self._act()

    def _full(self, name: str) -> str:
        return f"{self._pool.name}/{name}"

    def _ended(self, name: str, how: str, now: float) -> None:
        instance = self.fleet.ended(name, how, now)
        if instance is None:
            return
        loop = self.fleet.crash_loop
        log.warning("pool %s: process %s (pid %d, port %d) has ended unasked: %s", self._pool.name, name, instance.pid,
                    instance.port, how)  # fmt: skip
        if loop.is_stopped and not self._crash_said:
            self._crash_said = True
            log.error(
                "pool %s: %d processes in a row have ended or never passed a health check (the last: %s), so that no more are "
                "started for %gm; what they wrote is above; a reload with another command tries at once",
                self._pool.name, max(loop.crashes, MAX_CRASHES), loop.last, STOPPED_S / 60,
            )  # fmt: skip

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._act()

    def _act(self) -> None:
        """Whatever is to be done now."""
        if self._is_closed or not self._is_known:
            return
        now = self._loop.time()
        fleet = self.fleet
        for instance in list(fleet.phase(Phase.DRAINING)):
            if now - instance.since >= SETTLE_S and not self._under_way(instance.name):
                self._carry_out(fleet.idle(instance.name, now))
        crashes = fleet.crash_loop.crashes
        self._carry_out(fleet.steps(now))
        if not fleet.crash_loop.crashes:
            self._crash_said = False
        elif fleet.crash_loop.crashes > crashes:
            log.warning("pool %s: %s", self._pool.name, fleet.crash_loop.last)
        for instance in fleet.phase(Phase.STARTING):
            if instance.pid and instance.name not in self._probing:
                self._probing.add(instance.name)
                spawn(self._probe_until_passed(instance), f"first health check of {instance.name}")
        self._endpoints.publish(
            self._pool.name,
            [
                Endpoint(f"{HOST}:{each.port}", each.name, draining=each.phase is Phase.DRAINING)
                for each in fleet.phase(Phase.SERVING, Phase.DRAINING)
            ],
        )

    def _carry_out(self, todo: list[Todo]) -> None:
        for step, name in todo:
            instance = self.fleet.instances[name]
            if step is Step.STOP:
                self._loop.call_later(SETTLE_S, self._keeper.stop, self._full(name), STOP_GRACE_S)
                log.info("pool %s: process %s (pid %d) is told to end", self._pool.name, name, instance.pid)
            else:
                self._start(instance)

    def _start(self, instance: Instance) -> None:
        config = self._pool.autoscaler
        instance.port = _free_port({each.port for each in self.fleet.instances.values()})
        argv = [argument.replace("{port}", str(instance.port)).replace("{name}", instance.name) for argument in config.command]
        env = {
            "PORT": str(instance.port),
            "BALANCE_POOL": self._pool.name,
            "BALANCE_BACKEND_NAME": instance.name,
        }
        log.info("pool %s: starts process %s at port %d", self._pool.name, instance.name, instance.port)
        self._keeper.start(self._full(instance.name), self._pool.name, instance.port, self.fleet.recipe, argv, env)

    async def _probe_until_passed(self, instance: Instance) -> None:
        try:
            while not self._is_closed and self.fleet.instances.get(instance.name) is instance:
                if instance.phase is not Phase.STARTING:
                    return
                check = self._pool.health_check
                if not check.enabled:
                    check = HealthCheck(kind="tcp", tls=self._pool.tls)
                backend = BackendConfig(name=instance.name, address=Address(HOST, instance.port))
                result = await PROBES[check.kind](check, backend)
                if result.is_ok and self.fleet.passed(instance.name, self._loop.time()):
                    log.info("pool %s: process %s (pid %d) passes its health check and joins", self._pool.name, instance.name,
                             instance.pid)  # fmt: skip
                    self._act()
                    return
                await asyncio.sleep(PROBE_S)
        finally:
            self._probing.discard(instance.name)


STOP_SEEN_S: Final = SETTLE_S + 3.0  # from an order to stop to the list that has it
START_SEEN_S: Final = 15.0  # from an order to start to the list that has it


def _recipe(config: AutoscalerConfig) -> str:
    """What tells one command from another."""
    return hashlib.sha256(json.dumps(config.command).encode()).hexdigest()[:12]


def _free_port(taken: set[int]) -> int:
    """A port that nobody listens on now. Who takes it meanwhile makes the process crash, and the next one has another."""
    for _ in range(20):
        with socket.socket() as sock:
            sock.bind((HOST, 0))
            port: int = sock.getsockname()[1]
        if port not in taken:
            return port
    return port
