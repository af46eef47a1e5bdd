"""Whether a request whose try failed may be tried once more: one table of reasons, in the order in which they are looked at.

What is safe (RFC 9110 section 9.2.2): a failed connect proves that nothing was sent, so any method may go on. After that only
methods that are idempotent, or a request that says so itself (Idempotency-Key), and only while the client has seen nothing.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from balance.config.model import Retry
from balance.retry.backoff import backoff_s
from balance.retry.budget import Budget

MAX_CONNECTS = 5  # of backends that can't be connected to: every one that is ready, within reason
UNASKED_CONNECTS = 3  # where the configuration does not ask for it: HAProxy's `retries 3`


class Failure(enum.Enum):
    """How a try failed. Only CONNECT proves that nothing was sent."""

    CONNECT = "connect"
    RESET = "reset"  # the connection ended before a byte of the reply
    TIMEOUT = "timeout"  # no reply in time: a 504
    STATUS = "status"  # the reply itself says that it failed


class Again(enum.IntEnum):
    """What became of the last try that failed: it was made again, or why not. The numbers are cells of the shared board, so
    append only."""

    NEVER_NEEDED = 0
    MADE = 1
    METHOD = 2  # not idempotent, and something may have been read
    BODY = 3  # too long to be kept
    BEGUN = 4  # the reply had begun
    ATTEMPTS = 5
    BUDGET = 6
    DEADLINE = 7  # the request's own time would be over
    NOBODY = 8  # no other backend is ready
    OFF = 9  # the configuration does not ask for it
    RETRY_AFTER = 10  # the backend asks for time

    @property
    def word(self) -> str:
        """As logs and metrics write it; empty where nothing failed."""
        return self.name.lower() if self else ""


SKIPPED = tuple(Again)[2:]  # the reasons why not


@dataclass(slots=True)
class Failed:
    """A try that failed, and the request that it was for."""

    how: Failure
    status: int = 0  # of STATUS
    has_begun: bool = False  # the client has seen a part of the reply, or the backend has sent one
    asks_for_time: bool = False  # Retry-After
    is_repeatable: bool = True  # the method, or Idempotency-Key
    is_kept: bool = True  # all that was sent can be sent again
    has_other: bool = True  # a backend that is ready was not tried yet
    tries: int = 1  # so far, of those that sent something
    connects: int = 0  # so far, of those that failed
    waits: int = 0  # so far
    left_s: float = math.inf  # of the request's own time


class Retrying:
    """What a pool's configuration says of retries, and the budget that they are paid from, in one worker."""

    __slots__ = ("_rand", "_retry", "budget", "max_connects", "max_tries", "per_try_s", "statuses")

    def __init__(self, retry: Retry, workers: int, rand: Callable[[], float]) -> None:
        """`workers` share the budget's floor; `rand` is in [0, 1)."""
        self.statuses = frozenset(word for word in retry.on if isinstance(word, int))
        self.max_tries = retry.max_attempts
        self.max_connects = MAX_CONNECTS if Failure.CONNECT.value in retry.on else UNASKED_CONNECTS
        self.per_try_s = retry.per_try_timeout_s  # 0: none
        self.budget = Budget(retry.budget.ratio, retry.budget.min_per_second / workers)
        self._retry = retry
        self._rand = rand

    def asks_for(self, failed: Failed) -> bool:
        """Whether such a failure is one to be tried again."""
        if failed.how is Failure.STATUS:
            return failed.status in self.statuses
        if failed.how is Failure.TIMEOUT and 504 in self.statuses:
            return True
        return failed.how.value in self._retry.on

    def wait_s(self, waits: int) -> float:
        """How long a request that has waited so many times waits before it is tried again."""
        return backoff_s(self._retry, waits, self._rand())


class RetryDecision(NamedTuple):
    """MADE, after a wait, perhaps paid for by the budget (which then wants to know when it is done); or why not."""

    again: Again
    wait_s: float = 0.0
    is_paid: bool = False


def decide(failed: Failed, retrying: Retrying | None, now: float, active: Callable[[], int]) -> RetryDecision:
    """Whether the request is tried again. `active` counts the pool's uses in flight.

    `retrying` None stands for what is done without being asked: after a failed connect the next backend has it at once.
    """
    why_not = _why_not(failed, retrying)
    if why_not is not None:
        return RetryDecision(why_not)
    if retrying is None or failed.how is Failure.CONNECT:
        return RetryDecision(
            Again.MADE
        )  # a dead backend did no work: moving on adds to nobody's load, and has nothing to wait for
    # A backend that dies takes with it all that it had in flight. Their first move goes to others, who have not failed: there
    # is nothing to wait for, and that they come all at once is not their doing. The budget still bounds how many they are.
    is_first_move = failed.how is Failure.RESET and failed.has_other and not failed.waits
    wait_s = 0.0 if is_first_move else retrying.wait_s(failed.waits)
    if wait_s >= failed.left_s:
        return RetryDecision(Again.DEADLINE)
    if not retrying.budget.draw(now, None if is_first_move else active):
        return RetryDecision(Again.BUDGET)
    return RetryDecision(Again.MADE, wait_s, is_paid=True)


def _why_not(failed: Failed, retrying: Retrying | None) -> Again | None:
    if failed.how is Failure.CONNECT:
        if failed.connects >= (UNASKED_CONNECTS if retrying is None else retrying.max_connects):
            return Again.ATTEMPTS
        return None if failed.has_other else Again.NOBODY
    if retrying is None or not retrying.asks_for(failed):
        return Again.OFF
    if failed.has_begun:
        return Again.BEGUN
    if failed.asks_for_time:
        return Again.RETRY_AFTER
    if not failed.is_repeatable:
        return Again.METHOD
    if not failed.is_kept:
        return Again.BODY
    return Again.ATTEMPTS if failed.tries >= retrying.max_tries else None
