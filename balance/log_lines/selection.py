"""Which requests have a line: errors, retried and slow ones always, of the others a sample.

What counts as an error is what HAProxy's `dontlog-normal` keeps: a status of 500 and above, a try that failed, and every end
but those that the configuration asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance.log_lines.access_record import SESSION, TUNNEL, AccessRecord
from balance.model import Why

ERROR_STATUS: Final = 500
# Ends that are no errors: in order, decided by a rule of the configuration, or ended as configured.
_NORMAL: Final = frozenset(
    why.word
    for why in (
        Why.OK, Why.REDIRECTED, Why.FIXED_RESPONSE, Why.PREFLIGHT, Why.FAULT_INJECTED, Why.DENIED, Why.UNAUTHORIZED,
        Why.RATE_LIMITED, Why.BLOCKED, Why.NO_ROUTE, Why.IDLE_TIMEOUT, Why.DRAINING,
    )
)  # fmt: skip


class Selection:
    """`sample` is the part of normal requests that is logged, `slow_us` the time from which one is slow, 0 for none."""

    __slots__ = ("_rand", "_sample", "_slow_us")

    def __init__(self, sample: float, slow_us: int, rand: Callable[[], float]) -> None:
        self._sample = sample
        self._slow_us = slow_us
        self._rand = rand

    def part(self, record: AccessRecord) -> float:
        """The part of its like that is logged, by which a reader counts: 1.0 for always. 0.0: this one is not."""
        if is_error(record) or (self._slow_us and _waited_us(record) >= self._slow_us):
            return 1.0
        return self._sample if self._rand() < self._sample else 0.0


def is_error(record: AccessRecord) -> bool:
    """Whether it is logged whatever the sample."""
    return record.status >= ERROR_STATUS or record.attempts > 1 or record.retry != "" or record.why not in _NORMAL


def _waited_us(record: AccessRecord) -> int:
    """How long the client waited. Sessions and tunnels last as long as they like; slow is what came before."""
    if record.method in (SESSION, TUNNEL):
        return record.queue_us + max(record.connect_us, 0)
    return record.total_us
