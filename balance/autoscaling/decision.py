"""How many backends a pool should have now, and why: the rules of a Kubernetes HorizontalPodAutoscaler, and a cooldown.

    wanted = ceil(load / target)                 requests, active: the load of the whole pool
    wanted = ceil(ready * latency / target)      latency; going down, of all that there are

As with an HPA: within 10 % of the target nothing changes; up is at once; down goes no further than the most that was wanted in
the window; without a number nothing changes; what is outside min..max is brought back at once. Beyond an HPA: at most `step`
at a time, no way down within the cooldown after any change, and none before a whole window was observed, so that a restart
never shrinks a pool (knative/serving#2705).
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from balance.autoscaling.settings import AutoscalerConfig

TOLERANCE: Final = 0.1  # --horizontal-pod-autoscaler-tolerance
MAX_GAP: Final = 2.5  # intervals without a number, after which a window has to be observed anew
NEVER: Final = -math.inf
MAX_VALUE: Final = 1e12


class Action(enum.StrEnum):
    """What a decision does to the size."""

    UP = "up"
    DOWN = "down"
    HOLD = "hold"


class Reason(enum.StrEnum):
    """The word for why; the sentence is in Decision.why."""

    LOAD = "load"  # it moves by its load
    BOUNDS = "bounds"  # it moves because it is outside min..max
    ON_TARGET = "on_target"
    AT_MAX = "at_max"
    AT_MIN = "at_min"
    NO_METRIC = "no_metric"
    PARTIAL_METRIC = "partial_metric"  # some balancer has not told its part: no way down
    STARTING = "starting"  # latency: those that were started do not serve yet
    OBSERVING = "observing"  # no whole window was observed
    WINDOW = "window"  # within the window more were wanted
    COOLDOWN = "cooldown"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known at one moment. `value` None: nothing is, which is never taken for 0."""

    value: float | None
    current: int  # backends that were asked for
    ready: int  # of them, those that serve
    is_partial: bool = False  # the true value may be more, never less


@dataclass(frozen=True, slots=True)
class Decision:
    """`recommended` is what the load asks for within min..max and the window, before `step` and cooldown: what others that
    scale by our word should be told. `desired` is what is to be done now."""

    action: Action
    reason: Reason
    why: str
    current: int
    desired: int
    recommended: int
    value: float | None = None


def wanted(config: AutoscalerConfig, value: float, current: int, ready: int) -> int:
    """What the load alone asks for, without bounds."""
    if config.metric == "latency":
        ratio = value / config.target
        if abs(ratio - 1.0) <= TOLERANCE:
            return current
        # Those that do not serve yet never turn the direction round (kubernetes PR 33593, watermarkpodautoscaler PR 121).
        return max(current, _ceil(ready * ratio)) if ratio > 1.0 else _ceil(current * ratio)
    if current and abs(value / (current * config.target) - 1.0) <= TOLERANCE:
        return current
    return _ceil(value / config.target)


def _ceil(number: float) -> int:
    return math.ceil(min(number, MAX_VALUE) - 1e-9)  # 3.0000000000000004 is 3


class Scaler:
    """One pool's. `now` is any clock that only goes forward."""

    __slots__ = ("_changed_at", "_config", "_known_at", "_observed_since", "_wishes")

    def __init__(self, config: AutoscalerConfig, changed_at: float = NEVER) -> None:
        """`changed_at`: the last change of size that is known from before a restart."""
        self._config = config
        self._changed_at = changed_at
        self._observed_since: float | None = None
        self._known_at = NEVER
        self._wishes: deque[tuple[float, int]] = deque()  # (when, how many within bounds), newest last

    def use(self, config: AutoscalerConfig) -> None:
        """A reload. What was observed by another measure says nothing."""
        before = self._config
        self._config = config
        if (before.metric, before.target, before.interval_s) != (config.metric, config.target, config.interval_s):
            self._observed_since = None
            self._wishes.clear()

    def changed(self, now: float) -> None:
        """The size was changed, by us or by who led before."""
        self._changed_at = max(self._changed_at, now)

    @property
    def changed_at(self) -> float:
        return self._changed_at

    def decide(self, reading: Reading, now: float) -> Decision:
        """See the module."""
        config, current = self._config, reading.current
        value = reading.value
        if value is not None and (not math.isfinite(value) or value < 0):
            value = None
        if reading.ready <= 0 and value is not None and not value:
            value = None  # nobody is ready, so nobody is asked: that is no lack of load (kubernetes#64088)
        within = min(max(current, config.min), config.max)
        if value is None:
            recommended = stable = within
        else:
            recommended = min(max(wanted(config, value, within, reading.ready), config.min), config.max)
            self._observe(recommended, now)
            stable = recommended
            if recommended < within:  # within the window more may have been wanted
                stable = min(within, max(wish for _, wish in self._wishes))
        if within != current:
            reason, why, desired = Reason.BOUNDS, f"{current} is outside {config.min}..{config.max}", within
        elif value is None:
            what = "latency is" if config.metric == "latency" else f"{config.metric} are"
            reason, why, desired = Reason.NO_METRIC, f"its {what} not known, which is never taken for 0", current
        else:
            reason, why, desired = self._by_load(reading, value, recommended, stable, now)
        action = Action.UP if desired > current else Action.DOWN if desired < current else Action.HOLD
        return Decision(action, reason, why, current, desired, stable, value)

    def _by_load(self, reading: Reading, value: float, recommended: int, stable: int, now: float) -> tuple[Reason, str, int]:
        """For a size within min..max."""
        config, current = self._config, reading.current
        load = _words(config, value, reading)
        if recommended > current:
            if config.metric == "latency" and reading.ready < current:
                started = current - reading.ready
                return (
                    Reason.STARTING,
                    f"{load}; {started} that {'was' if started == 1 else 'were'} started do not serve yet",
                    current,
                )
            return Reason.LOAD, f"{load}: {recommended} are needed", min(recommended, current + config.step)
        if recommended == current:
            if current == config.max and wanted(config, value, current, reading.ready) > current:
                return Reason.AT_MAX, f"{load}: more are needed than max, {config.max}", current
            if current == config.min and wanted(config, value, current, reading.ready) < current:
                return Reason.AT_MIN, f"{load}: min, {config.min}, is more than needed", current
            return Reason.ON_TARGET, f"{load}, as it should be", current
        fewer = f"{load}: {recommended} would do"
        if reading.is_partial:
            return Reason.PARTIAL_METRIC, f"{fewer}, but not every balancer has told its part", current
        observed_s = now - (now if self._observed_since is None else self._observed_since)
        if observed_s < config.window_s:
            return (
                Reason.OBSERVING,
                f"{fewer}; the load was watched for {observed_s:.0f}s, not yet for {config.window_s:g}s",
                current,
            )
        if stable == current:
            return Reason.WINDOW, f"{fewer}, but within {config.window_s:g}s as many as now were needed", current
        left_s = self._changed_at + config.cooldown_s - now
        if left_s > 0:
            return (
                Reason.COOLDOWN,
                f"{fewer}; the last change was {now - self._changed_at:.0f}s ago, cooldown {left_s:.0f}s more",
                current,
            )
        return Reason.LOAD, f"{load}: {stable} would do, for {config.window_s:g}s now", max(stable, current - config.step)

    def _observe(self, recommended: int, now: float) -> None:
        """A gap in what is known ends what was observed: a spike may have been in it."""
        if now - self._known_at > MAX_GAP * self._config.interval_s:
            self._observed_since = now
            self._wishes.clear()
        self._known_at = now
        self._wishes.append((now, recommended))
        while self._wishes[0][0] < now - self._config.window_s:
            self._wishes.popleft()


def _words(config: AutoscalerConfig, value: float, reading: Reading) -> str:
    if config.metric == "latency":
        return f"{value:.1f} ms at a target of {config.target:g}"
    what = "requests in an interval" if config.metric == "requests" else "requests under way"
    return f"{value:.1f} {what} at a target of {config.target:g} for each of {reading.current}"
