"""Once more, or not: what becomes of a request of which a try has failed. It goes to another backend, waits first, or ends.

What may be tried again is decided in `balance.retry.decision`; here the facts are gathered, and what the failed try held is
given back before the next begins. While a request waits it holds nothing but what it is to send: the client's own timer wakes
it, and goes with the client.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from balance.errors import UpstreamError
from balance.health.failure_statuses import is_success
from balance.http1.fields import field_value
from balance.http1.framing import BY_LENGTH, NO_BODY
from balance.http1.head import Request, Response
from balance.model import Outcome, TryPhase, Why
from balance.proxy.access_log import FailedTry
from balance.proxy.http.connect import IDEMPOTENT
from balance.retry.budget import Budget
from balance.retry.decision import Failure, RetryContext, RetryOutcome, RetryPolicy, decide
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange import Exchange

RACE_S: Final = 0.1  # so long, or two connect times, a close that we have not seen may be on its way to us

_KEY: Final = b"idempotency-key"

_DETAIL: Final = {
    Why.RESET_BEFORE_RESPONSE: "the backend closed before it replied",
    Why.RESPONSE_HEADER_TIMEOUT: "the backend did not reply in time",
}
_NOT_REACHED: Final = "the backend could not be reached"  # all others
_LATE: Final = (Why.CONNECT_TIMEOUT, Why.RESPONSE_HEADER_TIMEOUT)


def is_repeatable(request: Request, retrying: RetryPolicy | None) -> bool:
    """Whether a backend may see the request twice."""
    if request.method in IDEMPOTENT:
        return True
    if retrying is None:
        return False
    fields = request.fields
    found = fields.cache
    if found is None:
        found = fields.cache = {}
    key = found.get(_KEY)  # the same block has it again, and POSTs are common
    if key is None:
        key = found[_KEY] = field_value(fields.forward, _KEY).encode("latin-1")
    return bool(key)


class Resend:
    """Made by an exchange at its first failed try; holds what is to be remembered of the tries so far."""

    __slots__ = ("_connects", "_exchange", "_paid_from", "_races", "_waits", "again", "failures", "is_waiting", "last_error",
                 "tried", "try_began")  # fmt: skip

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.again = RetryOutcome.NEVER_NEEDED  # what became of the last try that failed
        self.last_error: UpstreamError | None = None  # how, unless it was a reply
        self.failures: list[FailedTry] = []  # all that another was made after
        self.tried: list[Backend] = []  # backends that the next try avoids
        self.try_began = 0.0  # the last one, if not with its lease
        self.is_waiting = False  # before the next try
        self._connects = 0  # that failed
        self._races = 0  # lost to a backend that was closing an idle connection: they are not tries
        self._waits = 0
        self._paid_from: Budget | None = None  # that wants to know when the try under way is done

    # --- how a try fails ------------------------------------------------------------------------------

    def not_connected(self, error: UpstreamError) -> None:
        """A dial has failed; its lease is still held."""
        outcome = Outcome.ABORTED if error.is_ours else Outcome.FAILED
        if not self._try_again(RetryContext(Failure.CONNECT), outcome, error, keep_upstream=False):
            self.fail(error, outcome)

    def not_answered(self, how: Failure, why: Why, *, has_begun: bool, is_partial: bool) -> None:
        """The connection is gone, or the time is over, and no reply's head has come; `is_partial`: a part of one has."""
        error = UpstreamError(TryPhase.HEAD, why, "its reply's head did not end" if is_partial else _DETAIL[why])
        if not self._try_again(RetryContext(how, has_reply_begun=has_begun), Outcome.FAILED, error, keep_upstream=False):
            self.fail(error, Outcome.FAILED)

    def failed_by_status(self, response: Response, body: bytes) -> bool:
        """A reply has come that says that the try failed, `body` with its head. True when the request goes on, and the client
        never sees it."""
        exchange = self._exchange
        failed = RetryContext(
            Failure.STATUS,
            status=response.status,
            has_reply_begun=exchange.interims > 0,
            has_retry_after=bool(field_value(response.forward, b"retry-after")),
        )
        outcome = Outcome.OK if is_success(response.status) else Outcome.FAILED
        if exchange.request.method == b"HEAD" or response.framing is NO_BODY:
            is_whole = not body
        else:
            is_whole = response.framing is BY_LENGTH and len(body) == response.length
        is_whole = is_whole and (exchange.upload is None or exchange.upload.is_done)
        return self._try_again(
            failed, outcome, None, keep_upstream=response.keep_alive and is_whole and not response.has_connection_auth
        )

    def reset_on_reuse(self, exc: Exception | None) -> None:
        """A reused connection died before a byte of the reply. For a moment that may be a close of an idle connection, on its
        way as the request was sent: no fault of the backend's, and no try of it. Once more where that is safe, on a connection
        that nobody is closing (RFC 9110 section 9.2.2)."""
        exchange = self._exchange
        upstream, lease, settings = exchange.upstream, exchange.lease, exchange.settings
        assert upstream is not None and lease is not None
        now = monotonic()
        is_kept = exchange.upload is None or exchange.upload.kept is not None
        late_s = settings.worker.lateness_s(now)
        is_race = now - exchange.sent_at <= max(RACE_S, 2 * upstream.connect_s) + late_s
        may_repeat = is_race and is_repeatable(exchange.request, settings.retrying)
        if is_race and not (may_repeat and is_kept):
            # What nobody may repeat fails, and a backend that dies of it has to be found out.
            leases = settings.worker.row.cells[lease.backend.block + counters.LEASES]
            is_race = lease.backend.races.is_one(now, leases) and not upstream.has_read_request(exc)
        if not is_race:
            self.not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE, has_begun=False, is_partial=False)
            return
        if may_repeat and is_kept:
            self._remember(lease, Why.RESET_ON_REUSE.word, now)
            self.try_began = now
            self._races += 1
            settings.worker.row.cells[lease.backend.block + counters.RETRIES] += 1
            exchange.dial_again(lease)
            return
        self.not_again(RetryOutcome.BODY if may_repeat else RetryOutcome.METHOD)
        exchange.fail(502, Why.RESET_ON_REUSE, "the backend closed as the request arrived", Outcome.ABORTED)

    # --- what becomes of it ---------------------------------------------------------------------------

    def _try_again(self, failed: RetryContext, outcome: Outcome, error: UpstreamError | None, *, keep_upstream: bool) -> bool:
        """Begin the next try, or the wait before it, with all given back that the failed one held. False when there is none:
        then nothing has changed."""
        exchange = self._exchange
        settings, lease = exchange.settings, exchange.lease
        assert lease is not None
        pool = settings.pool
        ready = pool.ready
        now = monotonic()
        self.done()
        tried = [*self.tried, lease.backend]
        failed.is_idempotent = is_repeatable(exchange.request, settings.retrying)
        failed.is_buffered = exchange.upload is None or exchange.upload.kept is not None
        if failed.failure is Failure.CONNECT:
            failed.has_untried_backend = pool.has_other(tried)
            self._connects += 1
        else:
            failed.has_untried_backend = any(backend not in tried for backend in ready)
        failed.connects = self._connects
        failed.tries = exchange.attempts - self._races - self._connects
        failed.waits = self._waits
        failed.left_s = exchange.started + settings.request_s - now
        verdict = decide(failed, settings.retrying, now, self._active)
        if verdict.outcome is not RetryOutcome.MADE:
            self.not_again(verdict.outcome)
            return False
        self.last_error = error
        self._remember(lease, error.why.word if error is not None else str(failed.status), now)
        if verdict.is_paid:
            assert settings.retrying is not None
            self._paid_from = settings.retrying.budget
        settings.worker.row.cells[lease.backend.block + counters.RETRIES] += 1
        # Never the same while there is another; when all were tried, all but the last may have it once more.
        self.tried = tried if failed.has_untried_backend else [lease.backend] if len(ready) > 1 else []
        end = failed.status if error is None else error.why
        exchange.give_back(outcome, now, keep_upstream=keep_upstream, end=end)
        if not verdict.is_paid:
            self._choose(now)
        elif verdict.wait_s:
            assert self._paid_from is not None
            self._paid_from.waiting += 1
            self._waits += 1
            self.is_waiting = True
            exchange.client.arm(now, verdict.wait_s)
        else:
            self._waits += 1
            self.go_on(now)
        return True

    def _choose(self, now: float) -> None:
        """The next try, at once."""
        exchange, error = self._exchange, self.last_error
        lease = exchange.acquire(now)
        if lease is None and error is not None and error.phase is TryPhase.CONNECT:
            lease = exchange.settings.pool.spare(now, self.tried)
        if lease is None:
            exchange.nobody(now)
        else:
            exchange.use(lease, now)

    def go_on(self, now: float) -> None:
        """The wait is over, or there was none to make."""
        exchange, error = self._exchange, self.last_error
        pool = exchange.settings.pool
        self._wake()
        may_return = error is None or error.phase is not TryPhase.CONNECT
        while (lease := exchange.acquire(now)) is None:
            if not self.tried or not may_return or pool.may_wait(self.tried):
                exchange.nobody(now)
                return
            # Who is ready and was not tried lets nobody in: it is on trial. The others then, as when all were tried.
            self.tried = self.tried[-1:] if len(self.tried) > 1 else []
        exchange.use(lease, now)

    def fail(self, error: UpstreamError, outcome: Outcome) -> None:
        """End with the failure of that try."""
        exchange = self._exchange
        status = 504 if error.why in _LATE else 502
        exchange.fail(status, error.why, _DETAIL.get(error.why, _NOT_REACHED), outcome, error.detail)

    # --- what is remembered ---------------------------------------------------------------------------

    def _remember(self, lease: Lease, why: str, now: float) -> None:
        """The try on that lease has failed, and another will be made."""
        self.again = RetryOutcome.MADE
        self.failures.append(FailedTry(lease.backend.name, why, round((now - (self.try_began or lease.started)) * 1e3, 3)))
        self.try_began = 0.0

    def not_again(self, why: RetryOutcome) -> None:
        """Say so, where it is counted and where it is logged."""
        self.again = why
        self._exchange.settings.worker.row.cells[counters.skipped(why)] += 1

    def done(self) -> None:
        """The try under way has ended, or got its reply."""
        self._wake()
        if self._paid_from is not None:
            self._paid_from.release()
            self._paid_from = None

    def _wake(self) -> None:
        """The wait is over, or nobody waits any more."""
        if self.is_waiting and self._paid_from is not None:
            self._paid_from.waiting -= 1
        self.is_waiting = False

    def _active(self) -> int:
        """The requests that the pool has in flight, with those that wait for their next try."""
        settings = self._exchange.settings
        waiting = settings.retrying.budget.waiting if settings.retrying is not None else 0
        return waiting + sum(backend.load.active for backend in settings.pool.backends)
