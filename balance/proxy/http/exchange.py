"""One HTTP request and its reply: the one owner of "where are we", from the choice of a backend to the last byte.

The file reads as an exchange runs. What not every exchange needs is an object of its own, made when it is needed: an Upload, a
QueueWait, a Resend. Both ends take messages (a request, a reply, more of a body, its end), and write them as HTTP/1.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from httptools import HttpResponseParser

from balance.background_tasks import spawn
from balance.errors import ProtocolError, UpstreamError
from balance.http1.body import Body
from balance.http1.forwarding.forwarded_headers import ForwardedClient
from balance.http1.framing import BY_CHUNKS, BY_LENGTH, NO_BODY, Framing
from balance.http1.head import Request, Response
from balance.http1.response import MAX_HEAD
from balance.model import Outcome, TryPhase, Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.http.account import count_exchange
from balance.proxy.http.connect import connect, take_parked
from balance.proxy.http.queue_wait import FULL, QueueWait
from balance.proxy.http.request_head import client_view, request_head
from balance.proxy.http.resend import Resend, is_repeatable
from balance.proxy.http.session_cookie import UNMOVED, lease_of_session, with_cookie
from balance.proxy.http.upgrade import is_asked_for
from balance.proxy.http.upload import Upload
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import NEVER
from balance.retry.decision import Failure, RetryOutcome
from balance.runtime.affinity import LookupExtractor, SessionLookup
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.client import HttpClient

# A backend that refuses a longer body may not have read it. Some (gunicorn's gthread) promise to keep the connection, and close
# it all the same when they find the rest, under the request that comes next.
READ_AT_ONCE: Final = 16 * 1024
CONTINUE_S: Final = (
    1.5  # a backend that knows no Expect says nothing; clients send their body all the same, curl after a second
)
MAX_INTERIMS: Final = 100  # 1xx replies at once before the final one: a backend that never comes to the point
INTERIMS_PER_S: Final = (
    10  # and so many more in each second, so that one that says 102 through a long request never reaches a bound
)

_OK: Final = Outcome.OK
_ALL_WELL: Final = Why.OK


class ExchangeState(enum.IntEnum):
    """Where an exchange is."""

    CHOOSING = 0  # it has no connection: a backend is being chosen, waited for or dialled
    SENT = 1  # the head has gone out; the reply's head is awaited
    REPLYING = 2  # the reply's head has gone to the client
    ENDED = 3


# A global is ten times cheaper to look up than an Enum's member.
CHOOSING: Final = ExchangeState.CHOOSING
SENT: Final = ExchangeState.SENT
REPLYING: Final = ExchangeState.REPLYING
ENDED: Final = ExchangeState.ENDED

# Not looked at on the path: the tests hold every exchange of theirs to it.
TRANSITIONS: Final = {
    CHOOSING: frozenset((CHOOSING, SENT, ENDED)),  # again: a dial failed, and the next backend is asked
    SENT: frozenset((CHOOSING, REPLYING, ENDED)),  # CHOOSING: the try failed, and is made again
    REPLYING: frozenset((ENDED,)),
    ENDED: frozenset[ExchangeState](),
}


class Fate(enum.Enum):
    """What becomes of the backend's connection when its exchange ends."""

    CLOSED = 0
    KEPT = 1  # for the next request
    TUNNEL = 2  # it goes on without us, and its lease with it


CLOSED: Final = Fate.CLOSED
KEPT: Final = Fate.KEPT
TUNNEL: Final = Fate.TUNNEL


class Exchange:
    """Made for a complete request head."""

    __slots__ = (
        "_download",
        "_is_reused",
        "_lookup",
        "_partial_head",
        "_response",
        "_state",
        "attempts",
        "bytes_out",
        "client",
        "head",
        "head_at",
        "head_bytes",
        "interims",
        "lease",
        "queue_wait",
        "request",
        "request_id",
        "resend",
        "sent_at",
        "settings",
        "started",
        "status",
        "upload",
        "upstream",
        "view",
        "why",
    )  # fmt: skip

    # Set where they come to matter, and not read before: each here would cost every request as much as a comparison.
    head: bytes  # of the request, as it is sent
    view: ForwardedClient  # where the client is a trusted proxy
    _lookup: SessionLookup  # where the pool keeps sessions in a cookie
    _is_reused: bool  # the connection had been parked
    _response: Response  # the reply whose body did not come whole with its head
    _download: Body  # that body

    def __init__(self, client: HttpClient, settings: ListenerSettings, request: Request, head_bytes: int) -> None:
        self.client = client
        self.settings = settings
        self.request = request
        self.started = monotonic()
        self._state = CHOOSING
        # What it has to do with a backend
        self.lease: Lease | None = None
        self.upstream: Upstream | None = None
        self.attempts = 0
        self.sent_at = 0.0  # when this try's head was sent
        # The parts that not every exchange needs
        self.upload: Upload | None = None
        self.queue_wait: QueueWait | None = None
        self.resend: Resend | None = None
        # The reply
        self._partial_head = b""  # one that is not complete
        self.interims = 0  # 1xx replies so far
        self.head_at = 0.0
        # What is said of it at the end
        self.status = 0
        self.why = _ALL_WELL
        self.request_id = b""
        self.head_bytes = head_bytes
        self.bytes_out = 0

    @property
    def backend(self) -> Backend | None:
        """The one that it is with."""
        return self.lease.backend if self.lease is not None else None

    @property
    def client_address(self) -> str:
        """By the word of a trusted proxy, where there is one."""
        return self.view.address if self.client.is_trusted else self.client.peer

    @property
    def tried(self) -> Sequence[Backend]:
        """Backends that the next try avoids."""
        return self.resend.tried if self.resend is not None else ()

    # --- 1. a backend is chosen -----------------------------------------------------------------------

    def start(self, body: bytes) -> bytes:
        """Begin. `body` is what came after the head; returns what of it belongs to the next request. ProtocolError."""
        client, settings, request, now = self.client, self.settings, self.request, self.started
        fields = request.fields
        own_id, view = b"", None
        if fields.request_id:
            self.request_id = fields.request_id
        elif settings.request_id:
            self.request_id = own_id = settings.worker.next_request_id()
        if client.is_trusted:
            view = self.view = client_view(client, settings, request, now)
        self.head = request_head(request, client, view, own_id)
        if fields.framing is not NO_BODY:
            upload = self.upload = Upload(fields, settings.listener.http, len(self.head))
            if body:
                upload.hold(upload.feed(body))
                body = upload.rest
        if settings.retrying is not None:
            settings.retrying.budget.requests += 1
        pool, lease = settings.pool, None
        if client.connection_auth is not None or settings.cookie is not None:
            lease = self._bound_lease(now)
        if lease is None:
            lease = pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now)
        if lease is None:
            self.nobody(now)
        else:
            self.use(lease, now)
        return body

    def _bound_lease(self, now: float) -> Lease | None:
        """Of the backend that this client is bound to, by a connection of its own or by a session."""
        settings, auth = self.settings, self.client.connection_auth
        lease = None if auth is None else auth.acquire(settings.pool, now)
        if settings.cookie is not None:
            self._lookup = UNMOVED
            if lease is None:
                lease = lease_of_session(settings, self.request.fields, now)
        return lease

    def acquire(self, now: float) -> Lease | None:
        """Ask the pool once more."""
        pool = self.settings.pool
        return pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self.tried)

    def _key(self, key_of: LookupExtractor) -> bytes | SessionLookup:
        """What the pool's policy hashes of this request; where there are sessions, its SessionLookup."""
        key = key_of(self.request.fields, self.request.target, self.client_address)
        if self.settings.cookie is not None:
            self._lookup = cast(SessionLookup, key)
        return key

    def nobody(self, now: float) -> None:
        """There is no backend to be had: wait where that may help and there is room, or end."""
        pool, resend = self.settings.pool, self.resend
        if pool.queue is not None and pool.may_wait(self.tried):
            wait = self.queue_wait or QueueWait(self, pool.queue)
            if wait.join(now):
                self.queue_wait = wait
                return
        if resend is not None:
            resend.not_again(RetryOutcome.NOBODY)
            if resend.last_error is not None:  # it says more than that nobody else is there
                resend.fail(resend.last_error, Outcome.ABORTED)
                return
        why = pool.why_nobody
        self.fail(503, why, FULL if why is Why.LIMIT else "no backend is ready", Outcome.ABORTED)

    def use(self, lease: Lease, now: float) -> None:
        """A backend was chosen: send, on a parked connection or a new one."""
        self.lease = lease
        self.attempts += 1
        auth = self.client.connection_auth
        if auth is None:
            upstream = take_parked(lease.backend, self.request.method, now)
        else:
            upstream = auth.take(lease.backend, self.request, now)
        if upstream is None:
            self._dial(lease)
        else:
            self._is_reused = True
            self._send(upstream, now)

    def _dial(self, lease: Lease) -> None:
        self._is_reused = False
        self.sent_at = 0.0
        self.client.arm(monotonic(), NEVER)  # the dial keeps its own time
        spawn(self._connect(lease), "dial")

    async def _connect(self, lease: Lease) -> None:
        settings = self.settings
        result = await connect(settings.worker, lease.backend, settings.connect_s)
        try:
            if self._state is not CHOOSING or self.lease is not lease:  # the client has gone meanwhile
                if isinstance(result, Upstream):
                    result.park(monotonic(), settings)  # the next one may want it
            elif isinstance(result, UpstreamError):
                self._failed_try().not_connected(result)
            elif result.is_lost:  # gone between its connect and now
                error = UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "it was closed as soon as it was made")
                self._failed_try().not_connected(error)
            else:
                self._connected(result, lease)
        except Exception:
            self.crashed()
            if isinstance(result, Upstream):
                result.discard()
            raise

    def _connected(self, upstream: Upstream, lease: Lease) -> None:
        """Send, on a connection that is new."""
        if self.request.fields.has_connection_auth:
            self.client.claim(upstream)
        self._send(upstream, monotonic())
        retrying = self.settings.retrying
        if retrying is not None and retrying.per_try_s and self._state is SENT and (self.upload is None or self.upload.is_done):
            now = monotonic()  # the dial was a part of the try
            self.client.arm(now, min(self.settings.reply_s, max(0.0, lease.started + retrying.per_try_s - now)))
        # A write that has failed just now comes as connection_lost(), which reads first what the backend has said.
        if upstream.early and upstream.exchange is self:
            # It spoke before it was asked: the reply of one that takes no more connections. It may answer the request too, so
            # this is the last on this connection, whatever `max_requests` says.
            upstream.served = self.settings.max_requests
            early, upstream.early = upstream.early, b""
            upstream.resume()
            self.response_received(early)

    # --- 2. the request goes out ----------------------------------------------------------------------

    def _send(self, upstream: Upstream, now: float) -> None:
        """The head, and what has come of the body."""
        client, upload = self.client, self.upload
        self._state = SENT
        self.sent_at = now
        self.upstream = upstream
        if upload is None:
            upstream.send_request(self, self.head, b"")
            client.arm(now, self.settings.reply_s)
            return
        upstream.send_request(self, self.head, upload.kept or b"")
        retrying = self.settings.retrying
        upload.sent(upload.is_done or (retrying is not None and is_repeatable(self.request, retrying)))
        if upload.is_held:
            upload.is_held = False
            if not upstream.is_full:
                client.resume_reading()
        self._await(now)

    def body_received(self, data: bytes) -> bytes:
        """More of the request's body; returns what belongs to the next request. ProtocolError."""
        upload, upstream = self.upload, self.upstream
        assert upload is not None
        out = upload.feed(data)
        if upstream is not None:
            if upload.kept is not None:
                upload.keep(out)
            if upstream.send_body(out):
                self._await(monotonic())
        elif self._state is CHOOSING:  # it waits for its connection, and the client with it
            upload.hold(out)
            upload.is_held = True
            self.client.pause_reading()
        return upload.rest

    def _await(self, now: float) -> None:
        """More is to come: arm the timeout of whoever is waited for now."""
        timeouts, upload = self.settings.timeouts, self.upload
        if self.client.is_write_paused:
            timeout_s = timeouts.write_s or NEVER
        elif upload is None or upload.is_done:
            timeout_s = self.settings.reply_s if self._state is SENT and not self.interims else self.settings.read_s
        elif self.upstream is not None and self.upstream.is_full:
            timeout_s = timeouts.write_s or NEVER
        elif upload.awaits_continue and self._state is SENT:
            timeout_s = max(self.settings.reply_s, min(self.settings.read_s, CONTINUE_S))
        else:
            timeout_s = timeouts.client_body_s or NEVER
        self.client.arm(now, timeout_s)

    def pause_upload(self) -> None:
        """The backend can't take more of the request's body."""
        if self.upload is not None and not self.upload.is_done:
            self.client.pause_reading()
        self._await(monotonic())

    def resume_upload(self) -> None:
        """It can again."""
        self.client.resume_reading()
        self._await(monotonic())

    # --- 3. the reply begins --------------------------------------------------------------------------

    def response_received(self, data: bytes) -> None:
        """Bytes from the backend."""
        if self._state is REPLYING:
            self._more(data)
            return
        seen = len(self._partial_head)
        if seen:
            data = self._partial_head + data
            self._partial_head = b""
        reader = self.settings.replies
        while True:
            end = reader.end(data) if reader.is_tolerant else data.find(b"\r\n\r\n") + 4
            try:
                if end < 4 or end > MAX_HEAD:
                    reader.refuse_partial(data, seen)
                    self._partial_head = data
                    return
                response = reader.read(data if end == len(data) else data[:end])
            except ProtocolError as error:
                self._not_understood(error)
                return
            data = data[end:]
            seen = 0
            if response.status >= 200:
                self._reply(response, data)
                return
            if response.status == 101:
                self._switch(response, data)
                return
            if not self._interim(response) or not data:
                return

    def _interim(self, response: Response) -> bool:
        """A 1xx is passed on. False when it was one too many."""
        self.interims += 1
        if self.interims > MAX_INTERIMS + INTERIMS_PER_S * (monotonic() - self.started):
            self.fail(502, Why.BAD_RESPONSE, "the backend sends interim replies without end", Outcome.FAILED)
            return False
        if self.upload is not None:
            self.upload.awaits_continue = False
        self.client.writer.interim(self, response)
        self._await(monotonic())
        return True

    def _reply(self, response: Response, body: bytes) -> None:
        """The final reply's head, and what came with it."""
        if response.is_uncommon or self.resend is not None:
            if self._is_passed_over(response, body):
                return
            if response.has_connection_auth and self.upstream is not None:
                self.client.claim(self.upstream)
        if self.settings.cookie is not None and self._lookup.is_moved:
            response = with_cookie(self, self._lookup, response)
        framing = NO_BODY if self.request.method == b"HEAD" else response.framing
        self.status = response.status
        self.head_at = now = monotonic()
        if framing is BY_LENGTH and len(body) == response.length:
            self._state = REPLYING
            self.bytes_out = self.client.writer.begin(self, response, framing, body)
            self._end_well(response, True, now)
        elif framing is NO_BODY:
            self._state = REPLYING
            self.bytes_out = self.client.writer.begin(self, response, framing, b"")
            self._end_well(response, not body, now)
        else:
            if self.lease is not None:
                self.lease.answered(now, response.status)  # the body may take long, which says nothing of the backend
            if self.upload is not None:
                self.upload.kept = None
            self._response = response
            content = self._download = self._body_of(response, framing)
            try:
                body = content.feed(body)
            except ProtocolError as error:  # nothing has gone out yet: the client can still be told
                self._not_understood(error)
                return
            self._state = REPLYING
            self.bytes_out = self.client.writer.begin(self, response, framing, body)
            self._more_or_end(content)

    def _is_passed_over(self, response: Response, body: bytes) -> bool:
        """Whether a reply is one that the client never sees, for the request goes on."""
        if self.resend is not None:
            self.resend.done()
        retrying = self.settings.retrying
        if retrying is None or response.status not in retrying.statuses:
            return False
        return self._failed_try().failed_by_status(response, body)

    def _body_of(self, response: Response, framing: Framing) -> Body:
        if framing is not BY_CHUNKS:
            return Body(framing, response.length, HttpResponseParser)
        settings, decode = self.settings, not self.request.minor  # HTTP/1.0 knows no chunks
        # `reject` is for clients; a reply has begun by the time that its trailers come.
        underscores = "pass" if settings.listener.http.underscore_headers == "pass" else "drop"
        is_tolerant = settings.replies.is_tolerant
        return Body(BY_CHUNKS, 0, HttpResponseParser, decode=decode, underscores=underscores, is_tolerant=is_tolerant)

    # --- 4. more of it --------------------------------------------------------------------------------

    def _more(self, data: bytes) -> None:
        content = self._download
        try:
            data = content.feed(data)
        except ProtocolError as error:
            self._not_understood(error)
            return
        self.bytes_out += self.client.writer.more(data)
        self._more_or_end(content)

    def _more_or_end(self, content: Body) -> None:
        if content.is_done:
            self._end_well(self._response, not content.rest and not content.ends_at_close, monotonic())
        else:
            self._await(monotonic())

    def pause_download(self) -> None:
        """The client can't take more of the reply."""
        if self.upstream is not None:
            self.upstream.pause()
            self._await(monotonic())

    def resume_download(self) -> None:
        """It can again."""
        if self.upstream is not None:
            self.upstream.resume()
            self._await(monotonic())

    # --- what breaks it off ---------------------------------------------------------------------------

    def upstream_ended(self, exc: Exception | None) -> None:
        """The backend's connection gave an end (None) or broke. EPIPE is both: its end had come before the reset."""
        if self._state is REPLYING:
            if (exc is None or isinstance(exc, BrokenPipeError)) and self._download.ends_at_close:
                self._end_well(self._response, False, monotonic())
            else:
                self.fail(502, Why.RESET_MID_RESPONSE, "the backend broke off its reply", Outcome.FAILED)
        elif self._state is SENT:
            if self._partial_head or self.interims or not self._is_reused:
                self._not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE)
            else:
                self._failed_try().reset_on_reuse(exc)

    def client_gone(self) -> None:
        """The client left: so does its request at the backend, which is not to blame."""
        if self._state is not ENDED:
            if self.why is not Why.INTERNAL_ERROR:
                self.status = 499  # nginx's code for it; in logs only
                self.why = Why.CLIENT_ABORT
            self._end(Outcome.ABORTED, monotonic(), CLOSED)

    def expire(self, now: float) -> None:
        """The client's deadline has passed while this exchange owned it."""
        client, upload, upstream = self.client, self.upload, self.upstream
        if now >= self.started + self.settings.request_s:
            outcome = Outcome.ABORTED
            if self._state is SENT and self._is_its_turn_since(self.started + self.settings.request_s / 2):
                self._failed_try().not_again(RetryOutcome.DEADLINE)
                outcome = Outcome.FAILED  # else one that never replies looks well wherever `request` is below `read`
            self.fail(504, Why.TOTAL_TIMEOUT, "the request took too long", outcome)
        elif self.resend is not None and self.resend.is_waiting:
            if client.has_left():
                client.give_up()
            else:
                self.resend.go_on(now)
        elif client.is_write_paused:
            if client.has_taken_some():
                self._await(now)
            else:
                self.fail(408, Why.CLIENT_TOO_SLOW, "the client does not read", Outcome.ABORTED)
        elif upload is not None and upstream is not None and upstream.has_taken_some():
            self._await(now)
        elif client.has_left():
            client.give_up()  # and say so: client_gone() follows
        elif (
            upload is not None
            and not upload.is_done
            and not (upstream is not None and upstream.is_full)
            and not (upload.awaits_continue and self._state is SENT)
        ):
            self.fail(408, Why.BODY_TIMEOUT, "the request's body did not come", Outcome.ABORTED)
        elif self._state is REPLYING:
            self.fail(504, Why.RESPONSE_IDLE, "the backend stopped in its reply", Outcome.FAILED)
        elif self._state is SENT:
            self._not_answered(Failure.TIMEOUT, Why.RESPONSE_HEADER_TIMEOUT)
        elif self._state is ENDED:
            client.give_up()  # a bug ended it half-way

    def _is_its_turn_since(self, then: float) -> bool:
        """Whether the backend has had its request, and all of it now, since before `then`."""
        return self.sent_at <= then and (self.upload is None or self.upload.is_done)

    def cut(self) -> None:
        """The deadline of a drain."""
        self.fail(503, Why.DRAINING, "shutting down", Outcome.ABORTED)

    def refuse(self, error: ProtocolError) -> None:
        """The request's body turned out to be one that must not go on; where it ends can't be believed either."""
        self.client.writer.keeps_alive = False
        self.fail(error.status, error.why, error.detail, Outcome.ABORTED)

    def crashed(self) -> None:
        """A bug in our own code has left nobody knowing where we are: the client goes, and with it what is held for it."""
        self.status = 500
        self.why = Why.INTERNAL_ERROR
        self.client.give_up()

    def _not_understood(self, error: ProtocolError) -> None:
        """A reply that goes no further, and which rule it breaks."""
        self.fail(error.status, error.why, f"the backend's reply was not understood: {error.detail}", Outcome.FAILED)

    # --- a try has failed, and the request may be sent again ----------------------------------------------

    def _failed_try(self) -> Resend:
        if self.resend is None:
            self.resend = Resend(self)
        return self.resend

    def _not_answered(self, how: Failure, why: Why) -> None:
        is_partial = bool(self._partial_head)
        self._failed_try().not_answered(how, why, has_begun=is_partial or self.interims > 0, is_partial=is_partial)

    def give_back(self, outcome: Outcome, now: float, *, keep_upstream: bool, end: int) -> None:
        """What the failed try held, before the next one; `end` as Lease.release() has it."""
        upstream, lease = self.upstream, self.lease
        self._state = CHOOSING
        self.upstream = self.lease = None
        if upstream is not None:
            if keep_upstream and not upstream.is_full:
                upstream.park(now, self.settings)
            else:
                upstream.discard()
        if lease is not None:
            lease.release(outcome, now, None, end)

    def dial_again(self, lease: Lease) -> None:
        """The same backend once more, on a new connection: the reused one had been closed."""
        upstream = self.upstream
        self._state = CHOOSING
        self.upstream = None
        if upstream is not None:
            upstream.discard()
        self.attempts += 1
        self._dial(lease)

    # --- 5. it ends -----------------------------------------------------------------------------------

    def _end_well(self, response: Response, is_exact: bool, now: float) -> None:
        """The reply is complete, and all of it is written. `is_exact`: no byte came behind it, and it was not the close that
        ended it."""
        upstream, upload = self.upstream, self.upload
        assert upstream is not None
        if response.idle_timeout_s:
            upstream.backend.idle_time.announced(response.idle_timeout_s)
        is_kept = response.keep_alive and is_exact and not upstream.is_full
        if upload is not None and (
            not upload.is_done or (self.status >= 400 and upload.received > READ_AT_ONCE and upstream.owner is None)
        ):
            is_kept = False
        try:
            self._end(_OK, now, KEPT if is_kept else CLOSED)
        finally:  # the client has its reply, whatever becomes of the count
            self.client.end_reply(now)

    def _switch(self, response: Response, early: bytes) -> None:
        """101: from here on bytes pass unparsed, those that came with it first. What the client still owes of a body comes
        before what it says in the new protocol (RFC 9110 section 7.8), so it too passes as it comes: neither connection is
        ever asked for another request."""
        client, lease, upstream = self.client, self.lease, self.upstream
        if not is_asked_for(self.request, response):
            self.fail(502, Why.BAD_RESPONSE, "the backend switches protocols unasked", Outcome.FAILED)
            return
        assert lease is not None and upstream is not None
        if self.settings.cookie is not None and self._lookup.is_moved:
            response = with_cookie(self, self._lookup, response)
        self.status = 101
        self.bytes_out += client.writer.switching(self, response)
        record = self._end(Outcome.ABORTED, monotonic(), TUNNEL)  # how long a tunnel lasts says nothing about the backend
        client.become_tunnel(upstream, lease, early, record)

    def fail(self, status: int, why: Why, detail: str, outcome: Outcome, log_detail: str = "") -> None:
        """End badly: tell the client if its reply has not begun, else break off so that it can't take it for complete.
        `log_detail` says more than the client need know."""
        if self._state is ENDED:
            return
        if outcome is Outcome.FAILED and (self.resend is None or self.resend.again <= RetryOutcome.MADE):
            self._failed_try().not_again(RetryOutcome.BEGUN)  # nothing else has been said of it
        has_replied = self._state is REPLYING
        self.why = why
        if why is Why.BAD_RESPONSE and self.lease is not None:
            self.settings.worker.reply_not_understood(self.lease.backend, detail)
        if not has_replied:
            self.status = status
            self.bytes_out += self.client.writer.error(self, status, why, detail)
        self._end(outcome, monotonic(), CLOSED, log_detail or detail)
        if has_replied:
            self.client.break_off(is_stuck=why is Why.CLIENT_TOO_SLOW)
        else:
            self.client.end_error()

    def _end(self, outcome: Outcome, now: float, fate: Fate, detail: str = "") -> AccessRecord | None:
        """The only way out: connection, lease and counters, once. `fate` is the connection's."""
        upstream, lease = self.upstream, self.lease
        if self.queue_wait is not None:
            self.queue_wait.leave(now)
        if self.resend is not None:
            self.resend.done()
        self._state = ENDED
        self.upstream = self.lease = None
        if upstream is not None:
            if fate is KEPT:
                upstream.park(now, self.settings)
            elif fate is CLOSED:
                upstream.discard()
            else:
                upstream.exchange = None
        if lease is not None:
            if fate is TUNNEL:
                lease.answered(now)
            else:
                lease.release(outcome, now, None, self.status if outcome is _OK else self.why)
        return count_exchange(self, now, lease, outcome, detail)
