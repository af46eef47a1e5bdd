"""Once more, or not: a request whose try failed goes to another backend, waits first, or ends with the failure.

What may be tried again is decided in `balance.retry.decision`; here the facts are gathered, and what the failed try held is
given back before the next begins. While a request waits it holds nothing but what it is to send: the client's own timer wakes
it, and goes with the client.
"""

from __future__ import annotations

from time import monotonic

from balance.errors import UpstreamError
from balance.health.failure_statuses import is_good
from balance.http1.body import Body
from balance.http1.fields import field_value
from balance.http1.framing import BY_LENGTH, NO_BODY
from balance.http1.head import Response
from balance.model import Outcome, TryPhase, Why
from balance.proxy.access_log import FailedTry
from balance.proxy.http.connect import CHOSEN, IDEMPOTENT, SENT
from balance.proxy.http.queue_wait import FULL, Queued
from balance.retry.budget import Budget
from balance.retry.decision import Again, Failed, Failure, decide
from balance.runtime import counters
from balance.runtime.lease import Lease

RACE_S = 0.1  # so long, or two connect times, a close that we have not seen may be on its way to us
REPLAY_LIMIT = 64 * 1024  # bytes of a request that may be sent again (HAProxy's one buffer is 16k)

_KEY = b"idempotency-key"

_SAID = {
    Why.RESET_BEFORE_RESPONSE: "the backend closed before it replied",
    Why.RESPONSE_HEADER_TIMEOUT: "the backend did not reply in time",
}  # all others: it could not be reached
_LATE = (Why.CONNECT_TIMEOUT, Why.RESPONSE_HEADER_TIMEOUT)


class Tries:
    """What is to be remembered of a request of which a try failed."""

    __slots__ = ("again", "began", "connects", "detail", "failed", "failures", "is_waiting", "paid_from", "races", "waits")

    def __init__(self) -> None:
        self.again = Again.NEVER_NEEDED  # what became of the last one
        self.failed: UpstreamError | None = None  # it, unless it was a reply
        self.failures: list[FailedTry] = []  # all that another was made after
        self.began = 0.0  # when the last one did, if not with its lease
        self.detail = ""  # of how the request ended, where it ended badly
        self.connects = 0  # that failed
        self.races = 0  # lost to a backend that was closing an idle connection: they are not tries
        self.waits = 0
        self.is_waiting = False
        self.paid_from: Budget | None = None  # that wants to know when the try under way is done

    def another(self, lease: Lease, why: str, now: float) -> None:
        """This one has failed, and another will be made."""
        self.failures.append(FailedTry(lease.backend.name, why, round((now - (self.began or lease.started)) * 1e3, 3)))
        self.began = 0.0

    def wait(self) -> None:
        """Before the try that the budget paid for."""
        assert self.paid_from is not None
        self.paid_from.waiting += 1
        self.waits += 1
        self.is_waiting = True

    def wake(self) -> None:
        """The wait is over, or nobody waits any more."""
        if self.is_waiting and self.paid_from is not None:
            self.paid_from.waiting -= 1
        self.is_waiting = False

    def done(self) -> None:
        """The try under way has ended, or got its reply."""
        self.wake()
        if self.paid_from is not None:
            self.paid_from.done()
            self.paid_from = None


class Repeats(Queued):
    """The part of an exchange that makes up for tries that failed."""

    __slots__ = ("_buffer", "_interims", "_outgoing", "_tries", "upload")
    _buffer: bytes  # a reply's head that is not complete
    _outgoing: bytes  # the request as far as it was sent, for another try; empty when there can be none
    _interims: int  # 1xx replies so far
    _tries: Tries | None
    upload: Body | None  # the request's body, if it has one

    @property
    def last_failure(self) -> UpstreamError | None:
        return self._tries.failed if self._tries is not None else None

    def go_on(self, now: float) -> None:
        """The wait is over."""
        tries, pool = self._tries, self.settings.pool
        assert tries is not None
        tries.wake()
        failed = tries.failed
        may_return = failed is None or failed.phase is not TryPhase.CONNECT
        while (lease := pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self._tried)) is None:
            if not self._tried or not may_return or pool.may_wait(self._tried):
                self._nobody(failed)
                return
            # Who is ready and was not tried lets nobody in: it is on trial. The others then, as when all were tried.
            self._tried = self._tried[-1:] if len(self._tried) > 1 else ()
        self.choose(now, failed, lease)

    # --- how a try fails ------------------------------------------------------------------------------

    def _not_connected(self, error: UpstreamError) -> None:
        outcome = Outcome.ABORTED if error.is_ours else Outcome.FAILED
        if not self._try_again(Failed(Failure.CONNECT), outcome, error):
            self._fail_as(error, outcome)

    def _not_answered(self, how: Failure, why: Why, *, has_begun: bool) -> None:
        """The connection is gone, or the time is over, and the reply's head has not come."""
        error = UpstreamError(TryPhase.HEAD, why, "its reply's head did not end" if self._buffer else _SAID[why])
        if not self._try_again(Failed(how, has_begun=has_begun or self._interims > 0), Outcome.FAILED, error):
            self._fail_as(error, Outcome.FAILED)

    def _is_passed_over(self, response: Response, body: bytes) -> bool:
        """A reply has come, `body` with its head. True when it is one that the client never sees, for the request goes on."""
        if self._tries is not None:
            self._tries.done()
        retrying = self.settings.retrying
        if retrying is None or response.status not in retrying.statuses:
            return False
        failed = Failed(
            Failure.STATUS,
            status=response.status,
            has_begun=self._interims > 0,
            asks_for_time=bool(field_value(response.forward, b"retry-after")),
        )
        outcome = Outcome.OK if is_good(response.status) else Outcome.FAILED
        if self.request.method == b"HEAD" or response.framing is NO_BODY:
            is_whole = not body
        else:
            is_whole = response.framing is BY_LENGTH and len(body) == response.length
        is_whole = is_whole and (self.upload is None or self.upload.is_done)
        return self._try_again(failed, outcome, None, keep_upstream=response.keep_alive and is_whole and not response.ties)

    def _hasten(self, lease: Lease) -> None:
        retrying = self.settings.retrying
        if retrying is not None and retrying.per_try_s and self._at is SENT and (self.upload is None or self.upload.is_done):
            now = monotonic()
            self.client.arm(now, min(self.settings.reply_s, max(0.0, lease.started + retrying.per_try_s - now)))

    def _reused_ended(self, exc: Exception | None) -> None:
        """A reused connection died before a byte of the reply. For a moment that may be a close of an idle connection, on its
        way as the request was sent: no fault of the backend's, and no try of it. Once more where that is safe, on a connection
        that nobody is closing (RFC 9110 section 9.2.2)."""
        upstream, lease = self._upstream, self._lease
        assert upstream is not None and lease is not None
        now = monotonic()
        late_s = self.settings.worker.lateness_s(now)
        is_race = now - self._connected_at <= max(RACE_S, 2 * upstream.connect_s) + late_s
        is_repeatable = is_race and self._is_repeatable()
        if is_race and not (is_repeatable and self._outgoing):
            # What nobody may repeat fails, and a backend that dies of it has to be found out.
            leases = self.settings.worker.row.cells[lease.backend.block + counters.LEASES]
            is_race = lease.backend.races.is_one(now, leases) and not upstream.has_been_heard(exc)
        if not is_race:
            self._not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE, has_begun=False)
            return
        if not is_repeatable:
            self._not_again(Again.METHOD)
        elif not self._outgoing:
            self._not_again(Again.BODY)
        else:
            tries = self._tries = self._tries or Tries()
            tries.another(lease, Why.RESET_ON_REUSE.word, now)
            tries.began = now
            tries.again = Again.MADE
            tries.races += 1
            self._upstream = None
            upstream.discard()
            self._at = CHOSEN
            self._attempts += 1
            self.settings.worker.row.cells[lease.backend.block + counters.RETRIES] += 1
            self._dial(lease)
            return
        self._fail(502, Why.RESET_ON_REUSE, "the backend closed as the request arrived", Outcome.ABORTED)

    # --- what becomes of it ---------------------------------------------------------------------------

    def _try_again(self, failed: Failed, outcome: Outcome, error: UpstreamError | None, *, keep_upstream: bool = False) -> bool:
        """Begin the next try, or the wait before it, with all given back that the failed one held. False when there is none:
        then nothing has changed."""
        settings, lease = self.settings, self._lease
        assert lease is not None
        ready = settings.pool.ready
        now = monotonic()
        tries = self._tries = self._tries or Tries()
        tries.done()
        tried = [*self._tried, lease.backend]
        failed.is_repeatable = self._is_repeatable()
        failed.is_kept = bool(self._outgoing)
        if failed.how is Failure.CONNECT:
            failed.has_other = settings.pool.has_other(tried)
        else:
            failed.has_other = any(backend not in tried for backend in ready)
        if failed.how is Failure.CONNECT:
            tries.connects += 1
        failed.connects = tries.connects
        failed.tries = self._attempts - tries.races - tries.connects
        failed.waits = tries.waits
        failed.left_s = self.started + settings.request_s - now
        verdict = decide(failed, settings.retrying, now, self._active)
        if verdict.again is not Again.MADE:
            self._not_again(verdict.again)
            return False
        tries.again = Again.MADE
        tries.failed = error
        tries.another(lease, error.why.word if error is not None else str(failed.status), now)
        if verdict.is_paid:
            assert settings.retrying is not None
            tries.paid_from = settings.retrying.budget
        settings.worker.row.cells[lease.backend.block + counters.RETRIES] += 1
        # Never the same while there is another; when all were tried, all but the last may have it once more.
        self._tried = tried if failed.has_other else [lease.backend] if len(ready) > 1 else ()
        self._let_go(now, keep_upstream=keep_upstream)
        self._lease = None
        lease.release(outcome, now, None, failed.status if error is None else error.why)
        self._at = CHOSEN
        if not verdict.is_paid:
            self.choose(now, error)
        elif verdict.wait_s:
            tries.wait()
            self.client.arm(now, verdict.wait_s)
        else:
            tries.waits += 1
            self.go_on(now)
        return True

    def _let_go(self, now: float, *, keep_upstream: bool) -> None:
        """Of the connection that the failed try was on, if it had one."""
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return
        upstream.served += 1
        if keep_upstream and not upstream.is_full and upstream.served < self.settings.max_requests:
            upstream.park(now, self.settings.max_idle)
        else:
            upstream.discard()

    def _nobody(self, failed: UpstreamError | None) -> None:
        if self._may_wait(monotonic()):
            return
        if self._tries is not None:
            self._not_again(Again.NOBODY)
        if failed is not None:  # it says more than that nobody else is there
            self._fail_as(failed, Outcome.ABORTED)
        else:
            why = self.settings.pool.why_nobody
            self._fail(503, why, FULL if why is Why.LIMIT else "no backend is ready", Outcome.ABORTED)

    def _fail_as(self, error: UpstreamError, outcome: Outcome) -> None:
        status = 504 if error.why in _LATE else 502
        tries = self._tries = self._tries or Tries()
        tries.detail = error.detail  # which the client need not know
        self._fail(status, error.why, _SAID.get(error.why, "the backend could not be reached"), outcome)

    def _not_again(self, why: Again) -> None:
        """Say so, where it is counted and where it is logged."""
        tries = self._tries = self._tries or Tries()
        tries.again = why
        self.settings.worker.row.cells[counters.skipped(why)] += 1

    def _keep(self, out: bytes) -> None:
        """More of the request was sent: it is kept for another try, while all of it is not too much."""
        self._outgoing = self._outgoing + out if len(self._outgoing) + len(out) <= REPLAY_LIMIT else b""

    def _is_kept_while_it_streams(self) -> bool:
        return self.settings.retrying is not None and self._is_repeatable()

    def _is_repeatable(self) -> bool:
        """Whether a backend may see the request twice."""
        if self.request.method in IDEMPOTENT:
            return True
        if self.settings.retrying is None:
            return False
        fields = self.request.fields
        found = fields.found
        if found is None:
            found = fields.found = {}
        key = found.get(_KEY)  # the same block has it again, and POSTs are common
        if key is None:
            key = found[_KEY] = field_value(fields.forward, _KEY).encode("latin-1")
        return bool(key)

    def _active(self) -> int:
        """The requests that the pool has in flight, with those that wait for their next try."""
        retrying = self.settings.retrying
        waiting = retrying.budget.waiting if retrying is not None else 0
        return waiting + sum(backend.load.active for backend in self.settings.pool.backends)
