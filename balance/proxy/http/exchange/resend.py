"""What follows a failed try of a request: another try at once, another after a backoff, or an error reply.

`balance.retry.decision` decides; this module gathers the facts, and releases what the failed try held before the next one.
During a backoff the request holds only the bytes that it is to send. The deadline of the client connection ends the backoff, so
no timer outlives the client.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from balance.errors import UpstreamError
from balance.grpc.statuses import failure_of, name_of
from balance.health.failure_statuses import is_success
from balance.http1.fields import field_value
from balance.http1.framing import BY_LENGTH, NO_BODY
from balance.http1.head import Request, Response
from balance.log_lines.access_record import FailedTry
from balance.model import Outcome, TryPhase, Why
from balance.proxy.http.connect import IDEMPOTENT
from balance.proxy.http.grpc.call import NOT_AGAIN, GrpcCall
from balance.proxy.http.traced import try_failed
from balance.retry.budget import Budget
from balance.retry.decision import Failure, RetryContext, RetryOutcome, RetryPolicy, decide
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

# Seconds after a request in which a close may have been sent before it arrived; or two connect times, if longer.
RACE_S: Final = 0.1

MAX_REFUSALS: Final = 5  # times that a backend may say that it has not looked at a request

_KEY: Final = b"idempotency-key"

_DETAIL: Final = {
    Why.RESET_BEFORE_RESPONSE: "the backend closed before it replied",
    Why.RESPONSE_HEADER_TIMEOUT: "the backend did not reply in time",
    Why.NEEDS_HTTP1: "the request needs HTTP/1.1, which the backend does not speak",
}
_NOT_REACHED: Final = "the backend could not be reached"  # every other Why
_LATE: Final = (Why.CONNECT_TIMEOUT, Why.RESPONSE_HEADER_TIMEOUT, Why.BACKEND_TLS_TIMEOUT)


def is_repeatable(request: Request, retrying: RetryPolicy | None) -> bool:
    """Whether the request may be sent twice: by its method or, with retries enabled, by an Idempotency-Key."""
    if request.method in IDEMPOTENT:
        return True
    if retrying is None:
        return False
    fields = request.fields
    found = fields.cache
    if found is None:
        found = fields.cache = {}
    key = found.get(_KEY)  # cached: identical fields are shared by requests, and POSTs are common
    if key is None:
        key = found[_KEY] = field_value(fields.forward, _KEY).encode("latin-1")
    return bool(key)


class Resend:
    """The failed tries of one exchange; made at the first of them."""

    __slots__ = ("_connects", "_exchange", "_paid_from", "_races", "_refusals", "_waits", "again", "failures", "is_waiting",
                 "last_error", "needs_http1", "tried", "try_began")  # fmt: skip

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.again = RetryOutcome.NEVER_NEEDED  # of the last failed try
        self.last_error: UpstreamError | None = None  # of the last failed try; None: it failed by its status
        self.failures: list[FailedTry] = []  # the failed tries that were followed by another
        self.tried: list[Backend] = []  # backends that the next try avoids
        self.try_began = 0.0  # start of the current try, if later than its lease; else 0
        self.is_waiting = False  # in a backoff
        self._connects = 0  # failed dials
        self._races = 0  # sends that met the close of an idle connection; not counted as tries
        self._refusals = 0  # sends that the backend has not looked at; not counted as tries, either
        self.needs_http1 = False  # a backend wants the request over HTTP/1.1
        self._waits = 0
        self._paid_from: Budget | None = None  # the budget that the current try is charged to, until done()

    # --- kinds of failures ----------------------------------------------------------------------------

    def not_connected(self, error: UpstreamError) -> None:
        """A dial has failed. Called with its lease still held."""
        outcome = Outcome.ABORTED if error.is_ours else Outcome.FAILED
        if not self._try_again(RetryContext(Failure.CONNECT), outcome, error, keep_upstream=False):
            self.fail(error, outcome)

    def not_answered(self, how: Failure, why: Why) -> None:
        """The connection has ended or timed out before the reply's head was complete."""
        exchange = self._exchange
        is_partial = bool(exchange.partial_head)
        has_begun = is_partial or exchange.interims > 0
        error = UpstreamError(TryPhase.HEAD, why, "its reply's head did not end" if is_partial else _DETAIL[why])
        if not self._try_again(RetryContext(how, has_reply_begun=has_begun), Outcome.FAILED, error, keep_upstream=False):
            self.fail(error, Outcome.FAILED)

    def failed_by_status(self, response: Response, body: bytes) -> bool:
        """The status of a reply is one to retry; `body` are the bytes that came with its head.

        True when another try follows, and the client does not get this reply.
        """
        exchange = self._exchange
        failed = RetryContext(
            Failure.STATUS,
            status=response.status,
            has_reply_begun=exchange.interims > 0,
            has_retry_after=bool(field_value(response.forward, b"retry-after")),
        )
        outcome = Outcome.OK if is_success(response.status) else Outcome.FAILED
        return self._try_again(failed, outcome, None, keep_upstream=self._is_whole(response, body))

    def failed_by_grpc_status(self, call: GrpcCall, response: Response, status: int) -> bool:
        """As failed_by_status(), for the status of a call in a reply that is trailers only."""
        pushback_s = call.pushback_s(response)
        failed = RetryContext(
            Failure.GRPC_STATUS,
            status=status,
            has_reply_begun=self._exchange.interims > 0,
            has_retry_after=pushback_s == NOT_AGAIN,
            pushback_s=pushback_s,
        )
        outcome = Outcome.OK if failure_of(status, had_time=True) < 500 else Outcome.FAILED
        call.failed_tries += 1  # said in the head of the next try, which may be sent at once
        if self._try_again(failed, outcome, None, keep_upstream=self._is_whole(response, b"")):
            return True
        call.failed_tries -= 1
        return False

    def _is_whole(self, response: Response, body: bytes) -> bool:
        """Whether nothing of a reply is missing, `body` being what came with its head, and its upstream can be used again."""
        exchange = self._exchange
        if exchange.request.method == b"HEAD" or response.framing is NO_BODY:
            is_whole = not body
        else:
            is_whole = response.framing is BY_LENGTH and len(body) == response.length
        is_whole = is_whole and (exchange.upload is None or exchange.upload.is_done)
        return response.keep_alive and is_whole and not response.has_connection_auth

    def reset_on_reuse(self, exc: Exception | None) -> None:
        """A reused connection ended before a byte of the reply.

        Within RACE_S this may be the close of an idle connection, sent before the request arrived: no failure of the backend,
        and not counted as a try. Sent again where that is safe, on a new connection (RFC 9110 section 9.2.2).
        """
        exchange = self._exchange
        upstream, lease, settings = exchange.upstream, exchange.lease, exchange.settings
        assert upstream is not None and lease is not None
        now = monotonic()
        is_kept = exchange.upload is None or exchange.upload.kept is not None
        late_s = settings.worker.lateness_s(now)
        is_race = now - exchange.sent_at <= max(RACE_S, 2 * upstream.connect_s) + late_s
        may_repeat = is_race and is_repeatable(exchange.request, settings.retrying)
        if is_race and not (may_repeat and is_kept):
            # No resend possible. A backend that crashes at such requests must still be detected: limit what passes for a race.
            leases = settings.worker.row.cells[lease.backend.block + counters.LEASES]
            is_race = lease.backend.races.is_one(now, leases) and not upstream.has_read_request(exc)
        if not is_race:
            self.not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE)
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

    def unprocessed(self, *, needs_http1: bool) -> None:
        """The backend has not looked at the request: GOAWAY, or REFUSED_STREAM (RFC 9113 section 8.7).

        Sent again at once whatever its method, without a failure of the backend and not on the budget: first on another
        connection of the same backend, then at another backend where one is ready.
        """
        exchange = self._exchange
        lease, settings = exchange.lease, exchange.settings
        assert lease is not None
        is_kept = exchange.upload is None or exchange.upload.kept is not None
        if not is_kept or self._refusals >= MAX_REFUSALS:
            self.not_again(RetryOutcome.ATTEMPTS if is_kept else RetryOutcome.BODY)
            exchange.fail(503, Why.STREAM_REFUSED, "the backend refused the request without looking at it", Outcome.ABORTED)
            return
        now = monotonic()
        self.done()
        self._remember(lease, Why.STREAM_REFUSED.word, now)
        self._refusals += 1
        self.needs_http1 = self.needs_http1 or needs_http1
        tried = [*self.tried, lease.backend]
        if self._refusals == 1 or not any(backend not in tried for backend in settings.pool.ready):
            self.try_began = now
            exchange.dial_again(lease)
            return
        self.tried = tried
        exchange.give_back(Outcome.ABORTED, now, keep_upstream=False, end=Why.STREAM_REFUSED)
        following = exchange.acquire(now)
        if following is None:  # a gate, say, keeps the others closed
            self.tried = []
            following = exchange.acquire(now)
        if following is None:
            exchange.nobody(now)
        else:
            exchange.use(following, now)

    # --- the next try ---------------------------------------------------------------------------------

    def _try_again(self, failed: RetryContext, outcome: Outcome, error: UpstreamError | None, *, keep_upstream: bool) -> bool:
        """Start the next try or its backoff, after releasing what the failed one held.

        False when there is none; the exchange then still holds its lease and upstream. `error` is None after a bad status.
        """
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
        failed.tries = exchange.attempts - self._races - self._connects - self._refusals
        failed.waits = self._waits
        failed.left_s = exchange.started + exchange.total_s() - now
        verdict = decide(failed, settings.retrying, now, self._active)
        if verdict.outcome is not RetryOutcome.MADE:
            self.not_again(verdict.outcome)
            return False
        self.last_error = error
        word, end = str(failed.status), failed.status
        if error is not None:
            word, end = error.why.word, error.why
        elif failed.failure is Failure.GRPC_STATUS:
            word, end = f"grpc_{name_of(failed.status).lower()}", failure_of(failed.status, had_time=True)
        self._remember(lease, word, now)
        if verdict.is_paid:
            assert settings.retrying is not None
            self._paid_from = settings.retrying.budget
        settings.worker.row.cells[lease.backend.block + counters.RETRIES] += 1
        # A backend is not tried twice while an untried one is ready; when all were tried, only the last one is avoided.
        self.tried = tried if failed.has_untried_backend else [lease.backend] if len(ready) > 1 else []
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
        """Start the next try at once."""
        exchange, error = self._exchange, self.last_error
        lease = exchange.acquire(now)
        if lease is None and error is not None and error.phase is TryPhase.CONNECT:
            lease = exchange.settings.pool.spare(now, self.tried)
        if lease is None:
            exchange.nobody(now)
        else:
            exchange.use(lease, now)

    def go_on(self, now: float) -> None:
        """Start the next try after its backoff, which may be 0."""
        exchange, error = self._exchange, self.last_error
        pool = exchange.settings.pool
        self._wake()
        may_return = error is None or error.phase is not TryPhase.CONNECT
        while (lease := exchange.acquire(now)) is None:
            if not self.tried or not may_return or pool.may_wait(self.tried):
                exchange.nobody(now)
                return
            # A gate, such as a half-open breaker, closes the untried ready backends: use the others, as if all were tried.
            self.tried = self.tried[-1:] if len(self.tried) > 1 else []
        exchange.use(lease, now)

    def fail(self, error: UpstreamError, outcome: Outcome) -> None:
        """End the exchange with 504 for a timeout, else 502."""
        exchange = self._exchange
        status = 504 if error.why in _LATE else 502
        exchange.fail(status, error.why, _DETAIL.get(error.why, _NOT_REACHED), outcome, error.detail)

    # --- records --------------------------------------------------------------------------------------

    def _remember(self, lease: Lease, why: str, now: float) -> None:
        """Record a failed try that another one follows; `why` is its reason in the access log."""
        self.again = RetryOutcome.MADE
        began = self.try_began or lease.started
        self.failures.append(FailedTry(lease.backend.name, why, round((now - began) * 1e3, 3)))
        try_failed(self._exchange, lease, why, began, now)
        self.try_began = 0.0

    def not_again(self, why: RetryOutcome) -> None:
        """Count and log why no other try follows."""
        self.again = why
        self._exchange.settings.worker.row.cells[counters.skipped(why)] += 1

    def done(self) -> None:
        """The current try has ended or got the head of its reply: release the retry budget."""
        self._wake()
        if self._paid_from is not None:
            self._paid_from.release()
            self._paid_from = None

    def _wake(self) -> None:
        """End the backoff, if in one."""
        if self.is_waiting and self._paid_from is not None:
            self._paid_from.waiting -= 1
        self.is_waiting = False

    def _active(self) -> int:
        """The requests of the pool in flight, including those in a backoff."""
        settings = self._exchange.settings
        waiting = settings.retrying.budget.waiting if settings.retrying is not None else 0
        return waiting + sum(backend.load.active for backend in settings.pool.backends)
