"""One pool's autoscaler: each interval it measures, asks who leads, decides, and has the driver act where it leads.

Every balancer measures and decides, so that one that takes over has observed its window already; only the leader acts. An
action has this order: the change is noted in the store on the condition that the lead is still ours (the note has the token),
then the driver acts with the token, then it is noted as done. A change that is not known to be done is told again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from balance.admin.autoscaling.state import AutoscalerView
from balance.admin.events.history import EventLog
from balance.autoscaling.decision import Action, Decision, Reading, Scaler
from balance.autoscaling.leadership import LEASE_INTERVALS, MIN_LEASE_S, State, Turn
from balance.autoscaling.load_meter import Counters, LoadMeter
from balance.background_tasks import spawn
from balance.config.model import PoolConfig
from balance.process.control.autoscaling.coordination import Coordination
from balance.process.control.autoscaling.driver import Change, Driver, DriverError

log = logging.getLogger("balance.autoscaler")

LOOK_S: Final = 1.0  # between looks at what is under way
LOOKS: Final = 5  # at least, in an interval
MARGIN_S: Final = 5.0  # beyond the timeout of a driver, which keeps it itself


@dataclass(frozen=True, slots=True)
class Size:
    """How many backends the pool has now."""

    members: int  # that get traffic or would, were they well
    ready: int


class PoolAutoscaler:
    """From start() to stop()."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: PoolConfig,
        driver: Driver,
        coordination: Coordination,
        counters: Callable[[], Mapping[int, Counters]],
        size: Callable[[], Size],
        events: EventLog,
    ) -> None:
        """`counters` and `size` are this pool's."""
        self._loop = loop
        self._pool = pool.name
        self._config = pool.autoscaler
        self.driver = driver
        self._coordination = coordination
        self._counters = counters
        self._size = size
        self._events = events
        self._meter = LoadMeter(self._config.interval_s)
        self._scaler = Scaler(self._config)
        self._is_told = False  # whether the last change is known from the store
        self._told = State()
        self._said = ""
        self._task: asyncio.Task[None] | None = None
        self._asked_at = 0.0  # when the store was asked in this turn
        self.view = AutoscalerView(self._pool, self._config)
        self.decisions: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    @property
    def changed_at(self) -> float:
        """On the loop's clock, when the size was changed last."""
        return self._scaler.changed_at

    def start(self) -> None:
        self._task = spawn(self._run(), f"autoscaler of {self._pool}")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._coordination.close()

    async def _run(self) -> None:
        interval_s = self._config.interval_s
        self._meter.look(self._counters(), self._loop.time())
        due = self._loop.time()
        while True:
            try:
                await self._turn()
            except Exception as error:  # a bug must not end the task, nor change the size
                log.exception("the autoscaler of pool %s failed", self._pool)
                self._fail("internal", f"internal error: {type(error).__name__}")
            due += interval_s
            now = self._loop.time()
            if due < now:  # it was held up: the turns that are missed are missed
                due = now + interval_s
            while (left_s := due - self._loop.time()) > 0:
                await asyncio.sleep(min(left_s, LOOK_S, interval_s / LOOKS))
                self._meter.look(self._counters(), self._loop.time())

    async def _turn(self) -> None:
        now = self._loop.time()
        config = self._config
        self._asked_at = now
        turn = await self._coordination.sync(self._meter.take(now), config.interval_s)
        now = self._loop.time()
        self._hear(turn, now)
        leads = bool(turn.token)
        size = self._size()
        try:
            # In a dry run nothing is touched, not even an annotation.
            current = await self.driver.current(turn.token if leads and not config.dry_run else 0)
        except DriverError as error:
            self._fail("driver", str(error))
            self._show(turn, None, size, str(error))
            return
        # Who can't say how many there are is told again what may not have reached it, before anything else.
        again = self._told.desired if current is None and not self._told.is_done else 0
        if current is None:
            current = self._told.desired or size.members
        if config.dry_run and not self.driver.is_shared:
            current = size.members  # nobody is started
        value = turn.load.value(config.metric) if turn.load is not None else None
        decision = self._scaler.decide(Reading(value, current, min(size.ready, current), turn.is_partial), now)
        problem = turn.failure and f"Redis can't be used, so that nothing is changed: {turn.failure}"
        if turn.failure:
            self._fail("store", problem)
        if leads and not config.dry_run:
            problem = await self._act(turn, decision, again)
        elif leads and decision.action is not Action.HOLD:
            self._say(f"would go from {decision.current} to {decision.desired}: {decision.why}", "dry_run", decision)
        if leads:
            self.decisions[decision.action.value] += 1
        self._show(turn, decision, size, problem)

    def _hear(self, turn: Turn, now: float) -> None:
        """What the store knows of the last change, by whomever."""
        state = turn.state
        if state.desired and (not self._is_told or (state.token, state.desired) != (self._told.token, self._told.desired)):
            self._scaler.changed(now - state.age_s)
        if not turn.failure:
            self._is_told, self._told = True, state

    async def _act(self, turn: Turn, decision: Decision, again: int) -> str:
        """Carry it out, or what was decided before and may have been in vain (`again`). Returns what went wrong."""
        config = self._config
        if decision.action is Action.HOLD and not again:
            return ""
        desired = min(max(again, config.min), config.max) if again else decision.desired
        change = Change(self._pool, decision.current, desired, turn.token, decision.why)
        # Who was frozen before the note fails there; who was frozen after it, mostly here; at the driver the token remains.
        state = State(desired, turn.token, 0.0, is_done=False)
        if not await self._coordination.write(turn, state):
            self._fail("fenced", "another balancer leads since, or the store can't be used: nothing is changed")
            return "not the leader any more: nothing is changed"
        if self._loop.time() - self._asked_at > max(MIN_LEASE_S, LEASE_INTERVALS * config.interval_s):
            self._fail("fenced", "this process was held up for longer than its lead lasts: nothing is changed")
            return "held up for longer than the lead lasts: nothing is changed"
        try:
            async with asyncio.timeout(config.timeout_s + MARGIN_S):
                await self.driver.scale(change)
        except (DriverError, TimeoutError) as error:
            words = str(error) or f"no end within {config.timeout_s:g}s"
            self._told = replace(state)
            self._fail("driver", words)
            return words
        now = self._loop.time()
        self._scaler.changed(now)
        self._told = replace(state, is_done=True)
        await self._coordination.write(turn, self._told)
        log.info("pool %s: scaled from %d to %d: %s", self._pool, decision.current, desired, decision.why)
        self._events.publish(
            "autoscaler",
            f"pool {self._pool}: from {decision.current} to {desired}: {decision.why}",
            pool=self._pool,
            action=decision.action.value,
            current=decision.current,
            desired=desired,
            reason=decision.reason.value,
        )
        self._said = ""
        return ""

    def _fail(self, kind: str, words: str) -> None:
        """Counted each time, said when it is new."""
        self.errors[kind] += 1
        if words != self._said:
            self._said = words
            log.warning("pool %s: its size is held: %s", self._pool, words)
            self._events.publish("autoscaler", f"pool {self._pool}: its size is held: {words}", pool=self._pool, action="hold")

    def _say(self, words: str, action: str, decision: Decision) -> None:
        if words != self._said:
            self._said = words
            log.info("pool %s (dry run): %s", self._pool, words)
            self._events.publish(
                "autoscaler", f"pool {self._pool} (dry run): {words}", pool=self._pool, action=action,
                current=decision.current, desired=decision.desired, reason=decision.reason.value,
            )  # fmt: skip

    def _show(self, turn: Turn, decision: Decision | None, size: Size, problem: str) -> None:
        self.view = AutoscalerView(
            self._pool,
            self._config,
            decision,
            size.members,
            size.ready,
            turn.leader,
            bool(turn.token),
            turn.token,
            turn.balancers,
            problem,
            at=time.time(),
        )
