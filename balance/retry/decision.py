"""Decides whether a failed request is sent again, and if not, why.

Safe by RFC 9110 section 9.2.2: after a failed connect any method, since nothing was sent; later only idempotent methods or
requests with an Idempotency-Key, before any of the response was sent to the client. All gRPC calls are POST: whether one with a
status may be made again, only who runs the servers knows, and lists the status.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from balance.config.model import Retry
from balance.grpc.statuses import RETRIABLE
from balance.retry.backoff import backoff_s
from balance.retry.budget import Budget

MAX_CONNECTS: Final = 5  # failed connects per request, with `connect` in retry.on
DEFAULT_MAX_CONNECTS: Final = 3  # without it: HAProxy's `retries 3`


class Failure(enum.Enum):
    """How a try failed. Only CONNECT proves that nothing was sent."""

    CONNECT = "connect"
    RESET = "reset"  # the connection ended before a byte of the reply
    TIMEOUT = "timeout"  # no reply in time, answered with 504
    STATUS = "status"  # the status of the reply
    GRPC_STATUS = "grpc_status"  # the status of a gRPC call, in a reply that is trailers only


class RetryOutcome(enum.IntEnum):
    """Whether the last failed try was retried, or why not. The numbers are cells of the shared board, so append only."""

    NEVER_NEEDED = 0
    MADE = 1
    METHOD = 2  # not idempotent
    BODY = 3  # too large to be buffered
    BEGUN = 4  # the reply had begun
    ATTEMPTS = 5
    BUDGET = 6
    DEADLINE = 7  # timeouts.request would be over
    NOBODY = 8  # no other backend is ready
    OFF = 9  # not in retry.on
    RETRY_AFTER = 10  # the reply has Retry-After

    @property
    def word(self) -> str:
        """The name in logs and metrics; "" when nothing failed."""
        return self.name.lower() if self else ""


NOT_RETRIED: Final = tuple(RetryOutcome)[2:]  # the reasons against a retry


@dataclass(slots=True)
class RetryContext:
    """A failed try, and the request that it was for."""

    failure: Failure
    status: int = 0  # of STATUS and GRPC_STATUS
    has_reply_begun: bool = False  # part of the reply has arrived or was sent to the client
    has_retry_after: bool = False  # Retry-After, or a gRPC server that does not want to be asked again
    is_idempotent: bool = True  # by its method or Idempotency-Key
    is_buffered: bool = True  # everything that was sent can be sent again
    has_untried_backend: bool = True  # a ready backend was not tried yet
    tries: int = 1  # tries that sent something
    connects: int = 0  # failed connects
    waits: int = 0  # backoff delays so far
    left_s: float = math.inf  # the rest of timeouts.request
    pushback_s: float = -1.0  # what a gRPC server asks to wait for; negative when it does not say


class RetryPolicy:
    """The retry settings of a pool and its budget, in one worker."""

    __slots__ = ("_rand", "budget", "grpc_statuses", "max_connects", "max_tries", "per_try_s", "retry", "statuses")

    def __init__(self, retry: Retry, workers: int, rand: Callable[[], float]) -> None:
        """The budget's minimum rate is divided among `workers`; `rand` returns a float in [0, 1)."""
        self.statuses = frozenset(word for word in retry.on if isinstance(word, int))
        self.grpc_statuses = frozenset(RETRIABLE[word] for word in retry.on if isinstance(word, str) and word in RETRIABLE)
        self.max_tries = retry.max_attempts
        self.max_connects = MAX_CONNECTS if Failure.CONNECT.value in retry.on else DEFAULT_MAX_CONNECTS
        self.per_try_s = retry.per_try_timeout_s  # 0: none
        self.budget = Budget(retry.budget.ratio, retry.budget.min_per_second / workers)
        self.retry = retry
        self._rand = rand

    def is_retriable(self, failed: RetryContext) -> bool:
        """Whether retry.on has this failure."""
        if failed.failure is Failure.STATUS:
            return failed.status in self.statuses
        if failed.failure is Failure.GRPC_STATUS:
            return failed.status in self.grpc_statuses
        if failed.failure is Failure.TIMEOUT and 504 in self.statuses:
            return True
        return failed.failure.value in self.retry.on

    def wait_s(self, waits: int) -> float:
        """The backoff delay of a request that has waited `waits` times."""
        return backoff_s(self.retry, waits, self._rand())


class RetryDecision(NamedTuple):
    """MADE after `wait_s`, or why not. With `is_paid` the caller must release() the budget at the end of the retry."""

    outcome: RetryOutcome
    wait_s: float = 0.0
    is_paid: bool = False


def decide(failed: RetryContext, retrying: RetryPolicy | None, now: float, active: Callable[[], int]) -> RetryDecision:
    """Whether the request is sent again. `active` returns the pool's requests in flight.

    `retrying` None: retries are disabled, and only a failed connect is followed by the next backend, at once.
    """
    why_not = _why_not(failed, retrying)
    if why_not is not None:
        return RetryDecision(why_not)
    if retrying is None or failed.failure is Failure.CONNECT:
        return RetryDecision(RetryOutcome.MADE)  # a failed connect adds no load: no backoff, and not on the budget
    # When a backend dies, all its requests fail at once. Their first retry goes to other backends without backoff or limit on
    # concurrency; the budget still limits their number.
    is_first_move = failed.failure is Failure.RESET and failed.has_untried_backend and not failed.waits
    wait_s = 0.0 if is_first_move else retrying.wait_s(failed.waits)
    if failed.pushback_s >= 0:
        wait_s = failed.pushback_s
    if wait_s >= failed.left_s:
        return RetryDecision(RetryOutcome.DEADLINE)
    if not retrying.budget.acquire(now, None if is_first_move else active):
        return RetryDecision(RetryOutcome.BUDGET)
    return RetryDecision(RetryOutcome.MADE, wait_s, is_paid=True)


def _why_not(failed: RetryContext, retrying: RetryPolicy | None) -> RetryOutcome | None:
    if failed.failure is Failure.CONNECT:
        if failed.connects >= (DEFAULT_MAX_CONNECTS if retrying is None else retrying.max_connects):
            return RetryOutcome.ATTEMPTS
        return None if failed.has_untried_backend else RetryOutcome.NOBODY
    if retrying is None or not retrying.is_retriable(failed):
        return RetryOutcome.OFF
    if failed.has_reply_begun:
        return RetryOutcome.BEGUN
    if failed.has_retry_after:
        return RetryOutcome.RETRY_AFTER
    if not failed.is_idempotent and failed.failure is not Failure.GRPC_STATUS:  # of calls, who lists the status decides
        return RetryOutcome.METHOD
    if not failed.is_buffered:
        return RetryOutcome.BODY
    return RetryOutcome.ATTEMPTS if failed.tries >= retrying.max_tries else None
