"""A backend's circuit breaker: CLOSED, traffic flows; OPEN, none does; HALF_OPEN, a few requests find out.

What is known is a handful of numbers that all workers share: one failure in each of five workers is five in a row. So a
breaker is a view of its cells, whoever changes them holds the backend's lock, and time is an argument, in microseconds of
a clock that all processes share. Which failures count is decided elsewhere (blame).
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from balance.config.model import CircuitBreaker

# --- the cells of one backend's evidence: shared memory, so append only ---------------------------
RUN = 0  # failures since the last success, over all workers
PEAK = 1  # the longest run since control last looked
PHASE = 2
SINCE_US = 3  # when the phase began
UNTIL_US = 4  # when OPEN is over
PASSED = 5  # trials that went well since the phase began
TIMES = 6  # how often it opened without having been closed between
OPENED = 7  # how often it opened at all; also tells the trials of one half-open phase from those of the next
CAUSE = 8
CELLS = 16

YIELDS_AFTER_S = 1.0  # at the soonest; one that fails every other request would else move with each of them
MAX_OPEN_S = 300.0  # doubling ends there, as ejections do; a longer `timeout` stays as it is
# By error rate, as Hystrix does it: of so many requests so large a share failed within the window.
RATE = 0.5
RATE_REQUESTS = 20
RATE_WINDOW_S = 10.0


class Numbers(Protocol):
    """Shared memory, or a list."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class BreakerState(enum.IntEnum):
    """The breaker's states. The numbers are cells of the shared board, so append only."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


class Signal(enum.IntEnum):
    """What moves a breaker. The numbers stand on the shared board as the cause of a phase, so append only."""

    NOTHING = 0
    FAILURES = 1
    RATE = 2
    TIME = 3
    TRIALS_PASSED = 4
    TRIAL_FAILED = 5
    LAST_RESORT_PASSED = 6

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Signal.NOTHING: "",
    Signal.FAILURES: "too many failures in a row",
    Signal.RATE: f"at least {RATE:.0%} of its requests failed within {RATE_WINDOW_S:g}s",
    Signal.TIME: "it was open for long enough",
    Signal.TRIALS_PASSED: "the requests that tried it went well",
    Signal.TRIAL_FAILED: "the request that tried it failed",
    Signal.LAST_RESORT_PASSED: "nobody else is ready, and a request that was sent there went well",
}

TABLE: dict[tuple[BreakerState, Signal], BreakerState] = {
    (BreakerState.CLOSED, Signal.FAILURES): BreakerState.OPEN,
    (BreakerState.CLOSED, Signal.RATE): BreakerState.OPEN,
    (BreakerState.OPEN, Signal.TIME): BreakerState.HALF_OPEN,
    (BreakerState.OPEN, Signal.LAST_RESORT_PASSED): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, Signal.TRIALS_PASSED): BreakerState.CLOSED,
    (BreakerState.HALF_OPEN, Signal.TRIAL_FAILED): BreakerState.OPEN,
}


class Change(NamedTuple):
    """One change of phase: what is logged and told to the other workers."""

    before: BreakerState
    after: BreakerState
    signal: Signal
    open_s: float = 0.0  # for how long, when it opened


class Breaker:
    """One backend's. Every method but the properties is called under the backend's lock."""

    __slots__ = ("_cells", "_config")

    def __init__(self, config: CircuitBreaker, cells: Numbers) -> None:
        self._config = config
        self._cells = cells

    @property
    def phase(self) -> BreakerState:
        return BreakerState(self._cells[PHASE])

    def is_due(self, now_us: int) -> bool:
        """Whether it is open and its time is over."""
        return self._cells[PHASE] == BreakerState.OPEN and now_us >= self._cells[UNTIL_US]

    def may_yield(self, now_us: int) -> bool:
        """Whether a success may end its being open before its time."""
        return self._cells[PHASE] == BreakerState.OPEN and now_us >= self._cells[SINCE_US] + int(YIELDS_AFTER_S * 1e6)

    @property
    def epoch(self) -> int:
        """What tells the trials of this half-open phase from all others; never 0."""
        return self._cells[OPENED]

    def failed(self, epoch: int, now_us: int) -> Change | None:
        """A use of the backend failed; `epoch` is that of the trial it was, 0 for an ordinary one."""
        phase = self._cells[PHASE]
        if phase == BreakerState.CLOSED and self._cells[RUN] >= self._config.failure_threshold:
            return self.take(Signal.FAILURES, now_us)
        if phase == BreakerState.HALF_OPEN and epoch == self._cells[OPENED]:
            return self.take(Signal.TRIAL_FAILED, now_us)
        return None  # an answer to what was sent before it opened is no news

    def passed(self, epoch: int, now_us: int) -> Change | None:
        """A trial went well."""
        cells = self._cells
        if cells[PHASE] != BreakerState.HALF_OPEN or epoch != cells[OPENED]:
            return None
        cells[PASSED] += 1
        if cells[PASSED] < self._config.success_threshold:
            return None
        return self.take(Signal.TRIALS_PASSED, now_us)

    def take(self, signal: Signal, now_us: int) -> Change | None:
        """Move as the table says; None where it says nothing."""
        cells = self._cells
        before = BreakerState(cells[PHASE])
        after = TABLE.get((before, signal))
        if after is None:
            return None
        open_s = 0.0
        if after is BreakerState.OPEN:
            cells[TIMES] += 1
            cells[OPENED] += 1
            open_s = self.open_s(cells[TIMES])
            cells[UNTIL_US] = now_us + int(open_s * 1e6)
        elif after is BreakerState.CLOSED:
            cells[TIMES] = 0
        cells[RUN] = 0
        cells[PASSED] = 0
        cells[CAUSE] = signal
        cells[SINCE_US] = now_us
        cells[PHASE] = after  # last: who dies before it has changed nothing that matters
        return Change(before, after, signal, open_s)

    def open_s(self, times: int) -> float:
        """How long the so-many-th opening in a row lasts: doubling, within bounds."""
        first_s = self._config.timeout_s
        return min(first_s * 2.0 ** min(times - 1, 32), max(first_s, MAX_OPEN_S))
