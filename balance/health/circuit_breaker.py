"""The circuit breaker of a backend: CLOSED, OPEN, or HALF_OPEN with a few trial requests.

Its data is in shared memory: one failure in each of five workers is five in a row. Writers hold the backend's lock. Times are
arguments, in microseconds of the system-wide monotonic clock. `failure_statuses` decides which failures count.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple, Protocol

from balance.config.model import CircuitBreaker

# --- indices of one backend's cells in shared memory: append only --------------------------------
CONSECUTIVE_FAILURES: Final = 0  # since the last success, over all workers
PEAK_FAILURES: Final = 1  # the most consecutive failures since the control process last read it
STATE: Final = 2
SINCE_US: Final = 3  # when the state began
UNTIL_US: Final = 4  # when OPEN ends
SUCCESSFUL_TRIALS: Final = 5  # since the state began
CONSECUTIVE_OPENINGS: Final = 6  # how often it opened without having closed in between
TOTAL_OPENINGS: Final = 7  # also the epoch: tells the trials of one half-open state from those of the next
CAUSE: Final = 8
CELLS: Final = 16

MIN_OPEN_S: Final = 1.0  # before a success may end OPEN; else a backend that fails every other request would flap
MAX_OPEN_S: Final = 300.0  # the limit of the doubling, as for ejections; a longer `timeout` is not shortened
# Opening by error rate, as in Hystrix: at least RATE of at least RATE_REQUESTS requests failed within the window.
RATE: Final = 0.5
RATE_REQUESTS: Final = 20
RATE_WINDOW_S: Final = 10.0


class Cells(Protocol):
    """A row of shared memory, or a list."""

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
    """The causes of transitions. The numbers are cells of the shared board, so append only."""

    NOTHING = 0
    FAILURES = 1
    RATE = 2
    TIME = 3
    TRIALS_PASSED = 4
    TRIAL_FAILED = 5
    LAST_RESORT_PASSED = 6

    @property
    def text(self) -> str:
        return _WORDS[self]


_WORDS: Final = {
    Signal.NOTHING: "",
    Signal.FAILURES: "too many failures in a row",
    Signal.RATE: f"at least {RATE:.0%} of its requests failed within {RATE_WINDOW_S:g}s",
    Signal.TIME: "it was open for long enough",
    Signal.TRIALS_PASSED: "the requests that tried it went well",
    Signal.TRIAL_FAILED: "the request that tried it failed",
    Signal.LAST_RESORT_PASSED: "nobody else is ready, and a request that was sent there went well",
}

TABLE: Final[dict[tuple[BreakerState, Signal], BreakerState]] = {
    (BreakerState.CLOSED, Signal.FAILURES): BreakerState.OPEN,
    (BreakerState.CLOSED, Signal.RATE): BreakerState.OPEN,
    (BreakerState.OPEN, Signal.TIME): BreakerState.HALF_OPEN,
    (BreakerState.OPEN, Signal.LAST_RESORT_PASSED): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, Signal.TRIALS_PASSED): BreakerState.CLOSED,
    (BreakerState.HALF_OPEN, Signal.TRIAL_FAILED): BreakerState.OPEN,
}


class BreakerChange(NamedTuple):
    """One transition of a breaker."""

    before: BreakerState
    after: BreakerState
    signal: Signal
    open_s: float = 0.0  # how long it will be open


class Breaker:
    """A view of one backend's cells. Every method but the properties is called under the backend's lock."""

    __slots__ = ("_cells", "_config")

    def __init__(self, config: CircuitBreaker, cells: Cells) -> None:
        self._config = config
        self._cells = cells

    @property
    def state(self) -> BreakerState:
        return BreakerState(self._cells[STATE])

    def is_timeout_over(self, now_us: int) -> bool:
        """Whether it is open and its timeout has passed."""
        return self._cells[STATE] == BreakerState.OPEN and now_us >= self._cells[UNTIL_US]

    def may_close_early(self, now_us: int) -> bool:
        """Whether it is open and a success may make it half-open before its timeout."""
        return self._cells[STATE] == BreakerState.OPEN and now_us >= self._cells[SINCE_US] + int(MIN_OPEN_S * 1e6)

    @property
    def epoch(self) -> int:
        """Identifies the trials of this half-open state; never 0."""
        return self._cells[TOTAL_OPENINGS]

    def on_failure(self, epoch: int, now_us: int) -> BreakerChange | None:
        """A request failed. `epoch` is that of the trial, 0 for an ordinary request."""
        phase = self._cells[STATE]
        if phase == BreakerState.CLOSED and self._cells[CONSECUTIVE_FAILURES] >= self._config.failure_threshold:
            return self.apply(Signal.FAILURES, now_us)
        if phase == BreakerState.HALF_OPEN and epoch == self._cells[TOTAL_OPENINGS]:
            return self.apply(Signal.TRIAL_FAILED, now_us)
        return None  # a request that was sent before it opened

    def on_success(self, epoch: int, now_us: int) -> BreakerChange | None:
        """A trial succeeded."""
        cells = self._cells
        if cells[STATE] != BreakerState.HALF_OPEN or epoch != cells[TOTAL_OPENINGS]:
            return None
        cells[SUCCESSFUL_TRIALS] += 1
        if cells[SUCCESSFUL_TRIALS] < self._config.success_threshold:
            return None
        return self.apply(Signal.TRIALS_PASSED, now_us)

    def apply(self, signal: Signal, now_us: int) -> BreakerChange | None:
        """Apply a signal by the table. Returns the transition, or None."""
        cells = self._cells
        before = BreakerState(cells[STATE])
        after = TABLE.get((before, signal))
        if after is None:
            return None
        open_s = 0.0
        if after is BreakerState.OPEN:
            cells[CONSECUTIVE_OPENINGS] += 1
            cells[TOTAL_OPENINGS] += 1
            open_s = self.open_s(cells[CONSECUTIVE_OPENINGS])
            cells[UNTIL_US] = now_us + int(open_s * 1e6)
        elif after is BreakerState.CLOSED:
            cells[CONSECUTIVE_OPENINGS] = 0
        cells[CONSECUTIVE_FAILURES] = 0
        cells[SUCCESSFUL_TRIALS] = 0
        cells[CAUSE] = signal
        cells[SINCE_US] = now_us
        cells[STATE] = after  # last, so that a process that dies before has changed nothing relevant
        return BreakerChange(before, after, signal, open_s)

    def open_s(self, times: int) -> float:
        """How long the `times`-th consecutive opening lasts: doubles each time, up to MAX_OPEN_S."""
        first_s = self._config.timeout_s
        return min(first_s * 2.0 ** min(times - 1, 32), max(first_s, MAX_OPEN_S))
