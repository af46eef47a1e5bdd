"""One HTTP request and its reply: owns their state from the choice of a backend to the last byte.

The methods are in the order in which an exchange runs. Parts that not every exchange needs are objects made on demand: Upload,
QueueWait, Resend. ReplyWriter and Upstream take messages (a request, a reply, more of a body) and write them as HTTP/1.
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
from balance.http1.chunked import is_whole
from balance.http1.forwarding.forwarded_headers import ForwardedClient
from balance.http1.framing import BY_CHUNKS, BY_LENGTH, NO_BODY, Framing
from balance.http1.head import Request, Response
from balance.http1.response import MAX_HEAD
from balance.log_lines.access_record import AccessValues
from balance.model import Outcome, TryPhase, Why
from balance.proxy.buffering.body_rate import BodyRate
from balance.proxy.buffering.buffered_upload import BufferedUpload, is_buffered
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.account import count_exchange
from balance.proxy.http.connect import connect, dial_plainly, take_parked
from balance.proxy.http.grpc.call import GrpcCall, begin_call
from balance.proxy.http.queue_wait import FULL, QueueWait
from balance.proxy.http.reply_writer import JOIN_LIMIT
from balance.proxy.http.request_head import client_view, request_head
from balance.proxy.http.resend import Resend, is_repeatable
from balance.proxy.http.routed.encoded_reply import EncodedReply
from balance.proxy.http.routed.routing import Routing
from balance.proxy.http.routed.settled_request import SettledRequest, routing_of, settle, settled_reply, start_settled
from balance.proxy.http.session_cookie import UNMOVED, asks_store, lease_of_session, with_cookie
from balance.proxy.http.traced import begin_trace
from balance.proxy.http.upgrade import is_asked_for
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.warning_throttle import RequestIds
from balance.retry.decision import Failure, RetryOutcome
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease
from balance.runtime.pool_view import PoolView
from balance.runtime.routes import Router
from balance.runtime.sessions.affinity import LookupExtractor
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.stages.stage import Reply
from balance.tracing.request_trace import RequestTrace

if TYPE_CHECKING:
    from balance.proxy.http.ends.exchange_client import ExchangeClient

# Bytes. A backend that refuses a longer request body may not have read it. Some (gunicorn's gthread) announce keep-alive, but
# close the connection when they find the rest of the body, while the next request is sent on it.
READ_AT_ONCE: Final = 16 * 1024
# Seconds. A backend that does not implement Expect sends no 100; clients then send the body after a wait, curl after a second.
CONTINUE_S: Final = 1.5
MAX_REMEMBERED_HEAD: Final = 1024  # bytes; each connection to a backend has one
# 1xx replies per request, against a backend that sends them without end. The limit grows by INTERIMS_PER_S each second, so that
# a backend that sends 102 during a long request never reaches it.
MAX_INTERIMS: Final = 100
INTERIMS_PER_S: Final = 10

_OK: Final = Outcome.OK
_ALL_WELL: Final = Why.OK


class ExchangeState(enum.IntEnum):
    """The state of an exchange."""

    CHOOSING = 0  # no upstream yet: choosing a backend, in the queue, in a backoff or dialling
    SENT = 1  # the request's head was sent; waiting for the reply's head
    REPLYING = 2  # the reply's head was sent to the client
    ENDED = 3


# A global is ten times cheaper to look up than an Enum's member.
CHOOSING: Final = ExchangeState.CHOOSING
SENT: Final = ExchangeState.SENT
REPLYING: Final = ExchangeState.REPLYING
ENDED: Final = ExchangeState.ENDED

# The allowed transitions. Not checked at run time; the tests check every exchange against them.
TRANSITIONS: Final = {
    CHOOSING: frozenset((CHOOSING, SENT, ENDED)),  # CHOOSING: a dial failed, and the next backend is tried
    SENT: frozenset((CHOOSING, REPLYING, ENDED)),  # CHOOSING: the try failed, and another follows
    REPLYING: frozenset((ENDED,)),
    ENDED: frozenset[ExchangeState](),
}


class Fate(enum.Enum):
    """What happens to the upstream when its exchange ends."""

    CLOSED = 0
    KEPT = 1  # parked for the next request
    TUNNEL = 2  # handed to a tunnel, together with the lease


CLOSED: Final = Fate.CLOSED
KEPT: Final = Fate.KEPT
TUNNEL: Final = Fate.TUNNEL


class Exchange:
    """One request and its reply; made when the request's head is complete."""

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
        "grpc",
        "head",
        "head_at",
        "head_bytes",
        "interims",
        "lease",
        "queue_wait",
        "reply_lines",
        "request",
        "request_id",
        "resend",
        "routing",
        "sent_at",
        "settings",
        "settled",
        "started",
        "status",
        "trace",
        "upload",
        "upstream",
        "view",
        "why",
    )  # fmt: skip

    # Set when first needed and not read before: initialising one for every request costs as much as a comparison.
    head: bytes  # the request's head as sent to the backend
    reply_lines: bytes  # set if the request is settled: lines of its reply alone
    view: ForwardedClient  # set if the client is a trusted proxy
    _lookup: SessionLookup  # set if the pool keeps sessions in a cookie
    _is_reused: bool  # the upstream had been parked
    _response: Response  # set if the reply's body was not complete with its head
    _download: Body  # the progress of that body

    def __init__(self, client: ExchangeClient, settings: ListenerSettings, request: Request, head_bytes: int) -> None:
        self.client = client
        self.settings = settings
        self.request = request
        self.started = monotonic()
        self._state = CHOOSING
        # The backend
        self.lease: Lease | None = None
        self.upstream: Upstream | None = None
        self.attempts = 0
        self.sent_at = 0.0  # when the request's head was sent in this try
        # Made on demand
        self.upload: Upload | None = None
        self.queue_wait: QueueWait | None = None
        self.resend: Resend | None = None
        self.routing: Routing | None = None
        self.settled: SettledRequest | None = None  # routing is made on demand then
        self.grpc: GrpcCall | None = None  # where it is a call of gRPC
        # The reply
        self._partial_head = b""  # the bytes of an incomplete head
        self.interims = 0  # 1xx replies so far
        self.head_at = 0.0
        # For the counters, the access log and traces
        self.trace: RequestTrace | None = None  # while tracing is on
        self.status = 0
        self.why = _ALL_WELL
        self.request_id = b""
        self.head_bytes = head_bytes
        self.bytes_out = 0

    @property
    def backend(self) -> Backend | None:
        """The backend of the current lease."""
        return self.lease.backend if self.lease is not None else None

    @property
    def client_address(self) -> str:
        """The client's address: as named by a trusted proxy, else the peer's."""
        return self.view.address if self.client.is_trusted else self.client.peer

    @property
    def rule(self) -> str:
        """The rule that decided about the request; "" for none."""
        if self.routing is not None:
            return self.routing.rule
        return self.settled.rule if self.settled is not None else ""

    def total_s(self) -> float:
        """How long the whole request may take, all tries included. Seconds; NEVER for no limit."""
        return self.settings.request_s if self.grpc is None else self.grpc.total_s(self.settings)

    def limit_total(self) -> None:
        """The settings have changed: tell the client until when the request may take."""
        self.client.limit_total(self.started + self.total_s())

    def reply_s(self) -> float:
        """How long a reply may be awaited. Seconds; NEVER for no limit."""
        if self.grpc is None or not self.grpc.may_last(self.settings):
            return self.settings.reply_s
        retrying = self.settings.retrying
        idle_s = self.settings.timeouts.tunnel_s or NEVER
        if retrying is None or not retrying.per_try_s or self._state is not SENT or (self.upload and not self.upload.is_done):
            return idle_s
        return min(idle_s, retrying.per_try_s)

    @property
    def tried(self) -> Sequence[Backend]:
        """Backends that the next try avoids."""
        return self.resend.tried if self.resend is not None else ()

    # --- 1. a backend is chosen -----------------------------------------------------------------------

    def start(self, data: bytes, head_end: int) -> bytes:
        """Start. From `head_end` on `data` is of the body; returns the bytes after its end. ProtocolError for a bad body."""
        client, settings, request, now = self.client, self.settings, self.request, self.started
        fields = request.fields
        own_id, view = b"", None
        if fields.request_id:
            self.request_id = fields.request_id
        elif settings.request_id:
            self.request_id = own_id = settings.worker.next_request_id()
        if client.is_judged:
            if request.method == b"POST" and (request.minor == 2 or settings.grpc_web):
                self.grpc = begin_call(self)
                fields = request.fields
            if settings.tracer is not None:
                fields = begin_trace(self, client, settings.tracer)
            if client.is_trusted or client.verified is not None:
                view = client_view(self, client, settings, now)
        if settings.router is not None:
            sole = settings.sole_hosts.get(fields.host)
            if sole is None or sole.staged is not None:
                if sole is None or fields.framing is not NO_BODY or not start_settled(self, sole):
                    return self._start_routed(settings.router, sole, data[head_end:])
                self._choose(now)
                return data[head_end:]
            if sole.request_s != settings.request_s or self.grpc is not None:
                self.settings = sole
                self.limit_total()
            self.settings = settings = sole
        forward = fields.forward if self.trace is None else fields.forward + self.trace.lines
        self.head = request_head(request.line, forward, fields.host, client, view, own_id)
        if fields.framing is not NO_BODY:
            if self.grpc is None:
                upload = self.upload = Upload(fields, settings.listener.http, len(self.head))
            else:
                upload = self.upload = self.grpc.upload(settings, len(self.head))
            if settings.body_rate and (self.grpc is None or not self.grpc.may_last(settings)):
                upload.rate = BodyRate(settings.body_rate, settings.body_rate_grace_s)
            rest = upload.begin(data, head_end) if head_end < len(data) else b""
            self.begin(now)
            return rest
        self._choose(now)
        return data[head_end:]

    def _start_routed(self, router: Router, sole: ListenerSettings | None, body: bytes) -> bytes:
        """start() where the listener's router, and the stages of the route, have a say before a backend is chosen.

        `sole` are the settings of the route that takes all requests of this Host, if that is known.
        """
        fields = self.request.fields
        if fields.framing is not NO_BODY:
            settings = self.settings
            if self.grpc is None:
                upload = self.upload = Upload(fields, settings.listener.http, self.head_bytes)
            else:
                upload = self.upload = self.grpc.upload(settings, self.head_bytes)
            if settings.body_rate:
                upload.rate = BodyRate(settings.body_rate, settings.body_rate_grace_s)
            if body:
                upload.hold(upload.feed(body))
                body = upload.rest
        routing = self.routing = Routing(self)
        if routing.start(router, sole):
            if self.upload is None:
                if routing.is_settled:
                    settle(self, routing)
                self._choose(self.started)
            else:
                self.begin(self.started)
        return body

    def begin(self, now: float) -> None:
        """The head is made and the pool is known: choose a backend, or first read the body where it is buffered."""
        upload, buffering, settings = self.upload, self.settings.buffering, self.settings
        if self.grpc is not None and self.grpc.may_last(settings):
            buffering = None
            if upload is not None:
                upload.rate = None  # of its listener, before the route was known
        if upload is not None and buffering is not None and is_buffered(self.request.fields, buffering):
            begun = upload
            upload = BufferedUpload(begun, self.request.fields, settings.listener.http, buffering, settings.worker.buffered)
            self.upload = upload
            if begun.is_held:
                self.client.resume_reading()
            if self._awaits_body(upload):
                return
        self._choose(now)

    def _awaits_body(self, upload: Upload) -> bool:
        """Wait for more of a body that is read before a backend is chosen. False at its end: the head is that of the body."""
        if not upload.is_waiting:
            if self.routing is None or self.routing.per_try is None:  # a head that names its backend is made for each try
                self.head = upload.head(self.head)
            return False
        client = self.client
        if upload.awaits_continue:
            upload.awaits_continue = False
            client.writer.go_on()
        now, timeout_s = monotonic(), self.settings.timeouts.client_body_s or NEVER
        client.arm(now, timeout_s if upload.rate is None else upload.rate.bounded(timeout_s, now))
        return True

    def _choose(self, now: float) -> None:
        """Choose the first backend."""
        client, settings = self.client, self.settings
        if settings.retrying is not None:
            settings.retrying.budget.requests += 1
        pool, lease = settings.pool, None
        if client.connection_auth is not None or settings.cookie is not None:
            lease = self._bound_lease(now)
            if lease is None and pool.affinity is not None and pool.affinity.shared is not None:
                lookup = cast(SessionLookup, self._key(cast(LookupExtractor, pool.key_of)))
                if asks_store(self, pool.affinity.shared, lookup, now):
                    return
        if lease is None:
            lease = pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now)
        if lease is None:
            self.nobody(now)
        else:
            self.use(lease, now)

    def _bound_lease(self, now: float) -> Lease | None:
        """A lease of the backend that this client is bound to, by a reserved upstream or by a session."""
        settings, auth = self.settings, self.client.connection_auth
        lease = None if auth is None else auth.acquire(settings.pool, now)
        if settings.cookie is not None:
            self._lookup = UNMOVED
            if lease is None:
                lease = lease_of_session(settings, self.request.fields, now)
        return lease

    def acquire(self, now: float) -> Lease | None:
        """Ask the pool again, avoiding the backends tried."""
        pool = self.settings.pool
        return pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self.tried)

    def _key(self, key_of: LookupExtractor) -> bytes | SessionLookup:
        """The key that the pool's policy hashes; with sessions, the SessionLookup of this request."""
        if self.settings.cookie is not None and self._lookup.is_asked:
            return self._lookup  # what was found holds for all tries
        key = key_of(self.request.fields, self.request.target, self.client_address)
        if self.settings.cookie is not None:
            self._lookup = cast(SessionLookup, key)
        return key

    def go_on(self) -> None:
        """What is known of the session was found: choose a backend. No effect when the exchange has ended meanwhile."""
        if self._state is not CHOOSING:
            return
        now = monotonic()
        lease = self.acquire(now)
        if lease is None:
            self.nobody(now)
        else:
            self.use(lease, now)

    def nobody(self, now: float) -> None:
        """The pool has no lease to give: enter the queue if waiting may help and there is room, else end with an error."""
        pool, resend = self.settings.pool, self.resend
        if pool.queue is not None and pool.may_wait(self.tried):
            wait = self.queue_wait or QueueWait(self, pool.queue)
            if wait.join(now):
                self.queue_wait = wait
                return
        if resend is not None:
            resend.not_again(RetryOutcome.NOBODY)
            if resend.last_error is not None:  # more informative than a 503
                resend.fail(resend.last_error, Outcome.ABORTED)
                return
        why = pool.why_nobody
        self.fail(503, why, FULL if why is Why.LIMIT else self._nobody_ready(), Outcome.ABORTED)

    def _nobody_ready(self) -> str:
        pool, routing = self.settings.pool, self.routing
        if routing is not None and routing.region and type(pool) is PoolView and pool.keeps_off_ready():
            return f"no backend is ready in region {routing.region} or its fallback; those of other regions may not be used"
        return "no backend is ready" if pool.backends else "the pool is empty: nobody has been found or started yet"

    def use(self, lease: Lease, now: float) -> None:
        """Use this lease for a try: send on a parked upstream, or dial."""
        self.lease = lease
        self.attempts += 1
        routing = self.routing
        if routing is not None and (routing.per_try is not None or routing.mirror):
            routing.name_backend(lease.backend)
        auth = self.client.connection_auth
        if auth is None:
            upstream = take_parked(lease.backend, self.request, now)
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
        now = monotonic()
        self.client.arm(now, NEVER)  # the dial has its own timeout
        version = lease.backend.proxy_protocol
        proxy_header = self.client.proxy_header(version) if version else b""
        if not dial_plainly(self, lease, self.settings.connect_s, proxy_header, now):
            spawn(self._connect(lease, proxy_header), "dial")

    async def _connect(self, lease: Lease, proxy_header: bytes) -> None:
        settings = self.settings
        needs_http1 = self.resend is not None and self.resend.needs_http1
        result = await connect(
            settings.worker,
            lease.backend,
            self.request,
            settings.connect_s,
            proxy_header,
            self.ids(),
            needs_http1=needs_http1,
        )
        self.dial_ended(result, lease, proxy_header)

    def dial_ended(self, result: Upstream | UpstreamError, lease: Lease, proxy_header: bytes) -> None:
        """A dial for this lease has ended."""
        try:
            if self._state is not CHOOSING or self.lease is not lease:
                # The exchange ended during the dial; the connection can serve the next request.
                if isinstance(result, Upstream):
                    if proxy_header:
                        result.discard()  # it can serve its client only, who may be gone
                    else:
                        result.park(monotonic(), self.settings)
            elif isinstance(result, UpstreamError):
                self._failed_try().not_connected(result)
            elif result.is_lost or (result.transport.is_closing() and not result.early):  # since the end of the dial
                error = UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "it was closed as soon as it was made")
                self._failed_try().not_connected(error)
            else:
                if proxy_header:
                    self.client.own(result)
                self._connected(result, lease)
        except Exception:
            self.crashed()
            if isinstance(result, Upstream):
                result.discard()
            raise

    def _connected(self, upstream: Upstream, lease: Lease) -> None:
        """Send on a new upstream."""
        if self.request.fields.has_connection_auth:
            self.client.claim(upstream)
        self._send(upstream, monotonic())
        retrying = self.settings.retrying
        if retrying is not None and retrying.per_try_s and self._state is SENT and (self.upload is None or self.upload.is_done):
            now = monotonic()  # the per-try timeout includes the dial
            self.client.arm(now, min(self.reply_s(), max(0.0, lease.started + retrying.per_try_s - now)))
        # If the write failed, connection_lost() follows, and first reads what the backend has sent.
        if upstream.early and upstream.exchange is self:
            # Bytes before the request, such as a refusal by a backend that takes no more connections, are taken for its reply.
            # The backend may answer the request too, so no other may follow on this connection: it counts as at `max_requests`.
            upstream.served = self.settings.max_requests
            early, upstream.early = upstream.early, b""
            upstream.resume()
            self.response_received(early)

    # --- 2. the request goes out ----------------------------------------------------------------------

    def _send(self, upstream: Upstream, now: float) -> None:
        """Send the head and the part of the body received so far."""
        client, upload = self.client, self.upload
        self._state = SENT
        self.sent_at = now
        self.upstream = upstream
        if upload is None and self.grpc is None:
            upstream.send_request(self, self.head, b"")
            client.arm(now, self.settings.reply_s)
            return
        head = self.head if self.grpc is None else self.grpc.head(self, self.head, now)
        if upload is None:
            upstream.send_request(self, head, b"")
            self._await(now)
            return
        upstream.send_request(self, head, upload.kept or b"")
        retrying = self.settings.retrying
        if upstream.is_shared:  # the backend may say that it has not looked at it
            upload.sent(True)
        elif upload.is_whole:  # it may be large, and other requests are never sent twice
            upload.sent(is_repeatable(self.request, retrying))
        elif self.grpc is not None and retrying is not None and retrying.grpc_statuses:
            upload.sent(True)
        else:
            upload.sent(upload.is_done or (retrying is not None and is_repeatable(self.request, retrying)))
        if not upstream.is_full:
            upload.settle()
        if upload.is_held:
            upload.is_held = False
            if not upstream.is_full:
                client.resume_reading()
        self._await(now)

    def body_received(self, data: bytes) -> bytes:
        """More of the request's body; returns the bytes after its end. ProtocolError for a bad body."""
        upload, upstream = self.upload, self.upstream
        assert upload is not None
        out = upload.feed(data)
        if upload.copy is not None and not upload.copy.add(out, upload.is_done):
            upload.copy = None
        if upstream is not None:
            if upload.kept is not None:
                upload.keep(out)
            if upstream.send_body(out):
                self._await(monotonic())
        elif upload.is_waiting:
            upload.hold(out)
            if not self._awaits_body(upload):
                self._choose(monotonic())
        elif self._state is CHOOSING:  # no upstream yet: hold the bytes and pause the client
            upload.hold(out)
            upload.is_held = True
            self.client.pause_reading()
        return upload.rest

    def _await(self, now: float) -> None:
        """Arm the timeout of the next expected event, by the client or by the backend."""
        timeouts, upload = self.settings.timeouts, self.upload
        if self.client.is_write_paused:
            timeout_s = timeouts.write_s or NEVER
        elif self.grpc is not None and self.grpc.may_last(self.settings):
            is_full = self.upstream is not None and self.upstream.is_full
            timeout_s = (timeouts.write_s or NEVER) if is_full else self.reply_s()
        elif upload is None or upload.is_done:
            timeout_s = self.settings.reply_s if self._state is SENT and not self.interims else self.settings.read_s
        elif self.upstream is not None and self.upstream.is_full:
            timeout_s = timeouts.write_s or NEVER
        elif upload.awaits_continue and self._state is SENT:
            timeout_s = max(self.settings.reply_s, min(self.settings.read_s, CONTINUE_S))
        else:
            timeout_s = timeouts.client_body_s or NEVER
            if upload.rate is not None:
                timeout_s = upload.rate.bounded(timeout_s, now)
        self.client.arm(now, timeout_s)

    def pause_upload(self) -> None:
        """Called by the upstream when it cannot take more of the request's body."""
        if self.upload is not None and not self.upload.is_done:
            self.client.pause_reading()
        self._await(monotonic())

    def pause_body_rate(self, now: float) -> None:
        """The client is not read from: that its body does not come is not its fault."""
        if self.upload is not None and self.upload.rate is not None:
            self.upload.rate.pause(now)

    def resume_upload(self) -> None:
        """Called by the upstream when it can take more of the request's body again."""
        if self.upload is not None:
            self.upload.settle()
        self.client.resume_reading()
        self._await(monotonic())

    # --- 3. the reply begins --------------------------------------------------------------------------

    def response_received(self, data: bytes) -> None:
        """Bytes received from the backend: of a head, or of the reply's body."""
        if self._state is REPLYING:
            self._more(data)
            return
        seen = len(self._partial_head)
        if seen:
            data = self._partial_head + data
            self._partial_head = b""
        reader, upstream = self.settings.replies, self.upstream
        # Most heads are those of the reply before: where its bytes come again, its end is theirs.
        head = b"" if upstream is None or reader.is_tolerant else upstream.last_head
        while True:
            if head and data.startswith(head):
                end = len(head)
            else:
                end = reader.end(data) if reader.is_tolerant else data.find(b"\r\n\r\n") + 4
                head = b""
            try:
                if end < 4 or end > MAX_HEAD:
                    reader.refuse_partial(data, seen)
                    self._partial_head = data
                    return
                if not head:
                    head = data if end == len(data) else data[:end]
                response = reader.read(head)
            except ProtocolError as error:
                self._not_understood(error)
                return
            seen = 0
            if response.status >= 200:
                if upstream is not None and end <= MAX_REMEMBERED_HEAD and not reader.is_tolerant:
                    upstream.last_head = head
                self._reply(response, data, end)
                return
            head = b""
            data = data[end:]
            if response.status == 101:
                self._switch(response, data)
                return
            if not self._interim(response) or not data:
                return

    def _interim(self, response: Response) -> bool:
        """Forward a 1xx. False when it exceeded the limit and ended the exchange."""
        self.interims += 1
        if self.interims > MAX_INTERIMS + INTERIMS_PER_S * (monotonic() - self.started):
            self.fail(502, Why.BAD_RESPONSE, "the backend sends interim replies without end", Outcome.FAILED)
            return False
        if self.upload is not None:
            self.upload.awaits_continue = False
        self.client.writer.interim(self, response)
        self._await(monotonic())
        return True

    def _reply(self, response: Response, data: bytes, end: int) -> None:
        """The final reply's head; from `end` on `data` has the bytes that came with it."""
        encoded = None
        if self.grpc is not None:
            if self._is_call_passed_over(self.grpc, response):
                return
            response = self.grpc.reply(self, response)
            encoded = self.grpc.encoded
        if response.is_uncommon or self.resend is not None:
            if self._is_passed_over(response, data[end:]):
                return
            if response.has_connection_auth and self.upstream is not None and not self.upstream.is_shared:
                self.client.claim(self.upstream)
        if self.settled is not None:
            response = settled_reply(self, self.settled, response)
        elif self.routing is not None:
            response = self.routing.reply(response)
        if self.routing is not None and encoded is None:
            encoded = self.routing.encoded
        if self.settings.cookie is not None and self._lookup.is_moved:  # after the route's changes, which are for the backend's
            response = with_cookie(self, self._lookup, response)
        framing = NO_BODY if self.request.method == b"HEAD" else response.framing
        self.status = response.status
        self.head_at = now = monotonic()
        size = len(data) - end
        if framing is BY_LENGTH and encoded is None and size == response.length:
            self._state = REPLYING
            # A long body is not copied: what was read is kept until it is written.
            body = data[end:] if size <= JOIN_LIMIT else memoryview(data)[end:]
            self.bytes_out = self.client.writer.begin(self, response, framing, body, None)
            self._end_well(response, True, now)
        elif framing is NO_BODY:
            self._state = REPLYING
            self.bytes_out = self.client.writer.begin(self, response, framing, b"", None)
            self._end_well(response, not size, now)
        elif framing is BY_CHUNKS and encoded is None and self.request.minor == 1 and is_whole(chunks := data[end:]):
            self._state = REPLYING
            self.bytes_out = self.client.writer.begin(self, response, framing, chunks, None)
            self._end_well(response, True, now)
        else:
            self._begin_body(response, framing, data[end:], encoded, now)

    def _begin_body(self, response: Response, framing: Framing, body: bytes, encoded: EncodedReply | None, now: float) -> None:
        """The final reply has a body that did not come whole with its head, or has to be encoded."""
        if self.lease is not None and self.grpc is None:
            self.lease.answered(now, response.status)  # latency ends here: a long body says nothing about the backend
        if self.upload is not None:
            self._drop_kept(self.upload)
        self._response = response
        content = self._download = self._body_of(response, framing, decode=encoded is not None)
        if self.grpc is not None:
            self.grpc.content = content
        try:
            body = content.feed(body) if encoded is None else encoded.begin(content, body)
        except ProtocolError as error:  # nothing was sent to the client yet, so it gets an error reply
            self._not_understood(error)
            return
        if self.grpc is not None and body:
            self.grpc.spoke(self.lease, now)
        if encoded is not None:
            framing = BY_CHUNKS
            if content.is_done:
                framing = BY_LENGTH
                response = response.changed(b"%bContent-Length: %d\r\n" % (response.forward, len(body)))
        self._state = REPLYING
        self.bytes_out = self.client.writer.begin(self, response, framing, body, content)
        self._more_or_end(content, now)

    def _drop_kept(self, upload: Upload) -> None:
        """The reply has begun, so the body is not sent again."""
        upload.kept = None
        if self.upstream is not None and not self.upstream.is_full:
            upload.settle()

    def _is_passed_over(self, response: Response, body: bytes) -> bool:
        """Whether this reply is dropped because another try follows."""
        if self.resend is not None:
            self.resend.done()
        retrying = self.settings.retrying
        if retrying is None or response.status not in retrying.statuses:
            return False
        return self._failed_try().failed_by_status(response, body)

    def _is_call_passed_over(self, call: GrpcCall, response: Response) -> bool:
        """The same of a call, by its status, if it came with the head."""
        retrying = self.settings.retrying
        if retrying is None or not retrying.grpc_statuses:
            return False
        status = call.status_of_head(response)
        return status in retrying.grpc_statuses and self._failed_try().failed_by_grpc_status(call, response, status)

    def _body_of(self, response: Response, framing: Framing, *, decode: bool = False) -> Body:
        if framing is not BY_CHUNKS:
            return Body(framing, response.length, HttpResponseParser)
        settings, decode = self.settings, decode or self.request.minor != 1  # HTTP/1.0 and HTTP/2 have no chunked coding
        # `reject` applies to clients only: when a reply's trailers arrive, it has begun, so they are dropped.
        underscores = "pass" if settings.listener.http.underscore_headers == "pass" else "drop"
        is_own = self.upstream is not None and self.upstream.is_shared  # made of what came over HTTP/2
        is_tolerant = settings.replies.is_tolerant and not is_own
        return Body(
            BY_CHUNKS, 0, HttpResponseParser, decode=decode, underscores=underscores, is_tolerant=is_tolerant, is_own=is_own
        )

    # --- 4. more of it --------------------------------------------------------------------------------

    def _more(self, data: bytes) -> None:
        content, encoded = self._download, None if self.routing is None else self.routing.encoded
        if self.grpc is not None:
            encoded = self.grpc.encoded or encoded
            self.grpc.spoke(self.lease, monotonic())
        try:
            data = content.feed(data) if encoded is None else encoded.feed(data)
        except ProtocolError as error:
            self._not_understood(error)
            return
        writer = self.client.writer
        self.bytes_out += writer.more(data, content)
        if writer.buffer is not None and writer.buffer.is_full and self.upstream is not None:
            self.upstream.pause()
        self._more_or_end(content, monotonic())

    def _more_or_end(self, content: Body, now: float) -> None:
        if content.is_done:
            self._end_well(self._response, not content.rest and not content.ends_at_close, now)
            if self.client.writer.buffer is not None:
                self.client.await_reading(now)
        elif self.upload is None and not self.client.is_write_paused and self.grpc is None:
            self.client.arm(now, self.settings.read_s)  # _await() inlined for the usual case
        else:
            self._await(now)

    def _encoded(self) -> EncodedReply | None:
        """The reply's body where it is encoded."""
        if self.grpc is not None and self.grpc.encoded is not None:
            return self.grpc.encoded
        return None if self.routing is None else self.routing.encoded

    @property
    def is_encoded(self) -> bool:
        """Whether the reply's body is encoded: what goes to the client is not what the backend has sent."""
        return self._encoded() is not None

    def next_slice(self) -> None:
        """Called in a later turn of the event loop: encode more of what was received."""
        if self._state is not REPLYING or self.is_held_back:  # pause_download() or resume_download() follows
            return
        try:
            self._more(b"")
        except Exception:  # called by the event loop, so no transport ends the connection
            self.crashed()
            raise

    def _encode_rest(self, encoded: EncodedReply) -> bool:
        """Encode all that was received, as no more follows. False when this ended the exchange."""
        while self._state is REPLYING and encoded.is_holding:
            self._more(b"")
        return self._state is REPLYING

    def pause_download(self) -> None:
        """Called by the client connection when it cannot take more of the reply."""
        upstream, buffering = self.upstream, self.settings.buffering
        if upstream is not None:
            if buffering is None or not buffering.response_bytes or self._state is not REPLYING:
                upstream.pause()
            else:
                buffer = self.client.writer.hold(buffering, self.settings.worker.buffered)
                if buffer.is_full:
                    upstream.pause()
                elif buffer.has_room:
                    self._take_more(upstream)
            self._await(monotonic())

    @property
    def is_held_back(self) -> bool:
        """Whether the client can take no more of the reply, and neither can its buffer, if it has one."""
        if not self.client.is_write_paused:
            return False
        buffer = self.client.writer.buffer
        return buffer is None or buffer.is_full

    def _take_more(self, upstream: Upstream) -> None:
        """Read on, or first encode the rest of what was read."""
        encoded = self._encoded()
        if encoded is not None and encoded.is_holding:
            encoded.schedule()
        else:
            upstream.resume()

    def resume_download(self) -> None:
        """Called by the client connection when it can take more of the reply again."""
        if self.upstream is not None:
            self._take_more(self.upstream)
            self._await(monotonic())

    # --- early ends -----------------------------------------------------------------------------------

    def upstream_ended(self, exc: Exception | None) -> None:
        """The upstream has ended (`exc` is None) or failed. EPIPE is both: the end arrived before the reset."""
        if self._state is REPLYING:
            encoded = self._encoded()
            if encoded is not None and not self._encode_rest(encoded):
                return
            if (exc is None or isinstance(exc, BrokenPipeError)) and self._download.ends_at_close:
                if encoded is not None:
                    self.bytes_out += self.client.writer.more(encoded.finish(), self._download)
                self._end_well(self._response, False, monotonic())
            else:
                self.fail(502, Why.RESET_MID_RESPONSE, "the backend broke off its reply", Outcome.FAILED)
        elif self._state is SENT:
            if self._partial_head or self.interims or not self._is_reused:
                self._not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE)
            else:
                self._failed_try().reset_on_reuse(exc)

    def upstream_refused(self, error: UpstreamError) -> None:
        """The backend has refused the connection after the request was sent on it, and has looked at nothing of it. No effect
        when there is a reply: the end of the connection follows.
        """
        if self._state is not SENT or self._partial_head or self.interims or self._is_reused:
            return
        if self.upload is not None and self.upload.kept is None:  # what was sent can't be sent again
            self._failed_try().fail(error, Outcome.FAILED)
        else:
            self._failed_try().not_connected(error)

    def upstream_unprocessed(self, *, needs_http1: bool = False) -> None:
        """The backend has looked at nothing of the request, and says so (RFC 9113 section 8.7). `needs_http1`: it wants it over
        HTTP/1.1.
        """
        if self._state is not SENT or self._partial_head or self.interims:
            self.fail(502, Why.BAD_RESPONSE, "the backend refused a request that it had begun to answer", Outcome.FAILED)
        else:
            self._failed_try().unprocessed(needs_http1=needs_http1)

    def upstream_reset(self, exc: Exception) -> None:
        """The backend has ended this request alone, and its connection goes on: no close has crossed the request."""
        self._is_reused = False
        self.upstream_ended(exc)

    def upstream_malformed(self, detail: str) -> None:
        """What the backend has sent breaks the rules of its protocol."""
        self.fail(502, Why.BAD_RESPONSE, f"the backend's reply was not understood: {detail}", Outcome.FAILED)

    def client_gone(self) -> None:
        """The client connection has ended: abort the request at the backend, without a failure of the backend."""
        if self._state is not ENDED:
            if self.why is not Why.INTERNAL_ERROR:
                if self._state is not REPLYING:  # else it has got the status of the reply
                    self.status = 499  # nginx's status for it; only in logs and counters
                self.why = Why.CLIENT_ABORT
            now, outcome = monotonic(), Outcome.ABORTED
            if self.grpc is not None and self.why is Why.CLIENT_ABORT and self.grpc.is_over(self, now):
                outcome = self._out_of_time()
            self._end(outcome, now, CLOSED)

    def expire(self, now: float) -> None:
        """The deadline of the client connection has passed during this exchange: resend, wait on, or fail by the state."""
        client, upload, upstream = self.client, self.upload, self.upstream
        if now >= self.started + self.total_s():
            self.fail(504, Why.TOTAL_TIMEOUT, "the request took too long", self._out_of_time())
        elif self.routing is not None and self.routing.is_waiting:
            if client.has_left():
                client.give_up()
            else:
                self.routing.expire(now)
        elif self.resend is not None and self.resend.is_waiting:
            if client.has_left():
                client.give_up()
            else:
                self.resend.go_on(now)
        elif upload is not None and upload.rate is not None and now >= upload.rate.due and not upload.is_done:
            self._body_rate_due(upload, upload.rate, now)
        elif client.is_write_paused:
            if client.has_taken_some():
                self._await(now)
            else:
                self.fail(408, Why.CLIENT_TOO_SLOW, "the client does not read", Outcome.ABORTED)
        elif upload is not None and upstream is not None and upstream.has_taken_some():
            self._await(now)
        elif client.has_left():
            client.give_up()  # client_gone() follows, and logs it
        elif self.grpc is not None and self.grpc.may_last(self.settings) and self._is_silent_call(upload, upstream):
            self.fail(504, Why.IDLE_TIMEOUT, "neither side of the call has said anything", Outcome.ABORTED)
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
            client.give_up()  # only after a bug: its end was not completed

    def _is_silent_call(self, upload: Upload | None, upstream: Upstream | None) -> bool:
        """Whether it was as much the client's turn to say something as the backend's, or a watch that had nothing to say."""
        if upstream is not None and upstream.is_full:
            return False
        return self._state is REPLYING or (upload is not None and not upload.is_done)

    def _body_rate_due(self, upload: Upload, rate: BodyRate, now: float) -> None:
        """A stretch in which a part of the body had to come is over."""
        client = self.client
        if not rate.is_kept(upload.received):
            if client.has_left():
                client.give_up()
                return
            detail = f"the request's body came slower than {rate.bytes_per_s} bytes a second"
            self.fail(408, Why.BODY_TIMEOUT, detail, Outcome.ABORTED)
        elif upload.is_waiting:
            client.arm(now, rate.bounded(self.settings.timeouts.client_body_s or NEVER, now))
        else:
            self._await(now)

    def _out_of_time(self) -> Outcome:
        """The time of the whole request is over: whose fault that is."""
        if self._state is SENT and self._is_its_turn_since(self.started + self.total_s() / 2):
            self.why = Why.TOTAL_TIMEOUT
            self._failed_try().not_again(RetryOutcome.DEADLINE)
            return Outcome.FAILED  # else a backend that never replies has no failures when `request` is below `read`
        return Outcome.ABORTED

    def _is_its_turn_since(self, then: float) -> bool:
        """Whether the request was sent to the backend before `then`, and its body is complete now."""
        return self.sent_at <= then and (self.upload is None or self.upload.is_done)

    def cut(self) -> None:
        """The deadline of a drain has passed: fail with 503."""
        self.fail(503, Why.DRAINING, "shutting down", Outcome.ABORTED)

    def refuse(self, error: ProtocolError) -> None:
        """Refuse the request for its body. The end of the body is not known either, so the connection closes."""
        self.client.writer.keeps_alive = False
        self.fail(error.status, error.why, error.detail, Outcome.ABORTED)

    def deny(self, error: ProtocolError, body: bytes) -> bytes:
        """Refuse the request for whose it is. The connection, which others share behind a proxy, goes on, unless more of the
        body is to come. `body` are the bytes after the head; returns those after the end of the body.
        """
        fields = self.request.fields
        if fields.framing is not NO_BODY:
            upload = self.upload = Upload(fields, self.settings.listener.http, self.head_bytes)
            try:
                upload.feed(body)
            except ProtocolError:
                self.client.writer.keeps_alive = False
            body = upload.rest
        self.fail(error.status, error.why, error.detail, Outcome.ABORTED)
        return body

    def crashed(self) -> None:
        """After a bug in our own code, with the state unknown: close the client connection, which releases all that is held."""
        self.note_crash()
        self.client.give_up()

    def ids(self) -> RequestIds:
        """For lines of the program's log about this request."""
        return RequestIds(self.request_id, self.trace.trace_id if self.trace is not None else b"")

    def note_crash(self) -> None:
        """There was a bug in our own code; who has caught it logs it, and ends the exchange."""
        self.why = Why.INTERNAL_ERROR
        if self._state is not REPLYING:
            self.status = 500
        self.settings.worker.request_crashed(self.ids())

    def _not_understood(self, error: ProtocolError) -> None:
        """Fail for an invalid reply; `error` names the rule that it breaks."""
        self.fail(error.status, error.why, f"the backend's reply was not understood: {error.detail}", Outcome.FAILED)

    # --- a failed try -------------------------------------------------------------------------------------

    def _failed_try(self) -> Resend:
        if self.resend is None:
            self.resend = Resend(self)
        return self.resend

    def _not_answered(self, how: Failure, why: Why) -> None:
        is_partial = bool(self._partial_head)
        self._failed_try().not_answered(how, why, has_begun=is_partial or self.interims > 0, is_partial=is_partial)

    def give_back(self, outcome: Outcome, now: float, *, keep_upstream: bool, end: int) -> None:
        """Release the upstream and the lease of a failed try before the next one; `end` is that of Lease.release()."""
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
        """Send to the same backend on a new connection, as the reused one had been closed. The lease stays."""
        upstream = self.upstream
        self._state = CHOOSING
        self.upstream = None
        if upstream is not None:
            upstream.discard()
        self.attempts += 1
        self._dial(lease)

    # --- 5. it ends -----------------------------------------------------------------------------------

    def _end_well(self, response: Response, is_exact: bool, now: float) -> None:
        """The reply is complete and written. `is_exact`: no bytes followed it, and a close did not mark its end."""
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
        finally:  # also when counting fails: the client has its reply
            self.client.end_reply(now)

    def _switch(self, response: Response, early: bytes) -> None:
        """A 101: hand both connections to a tunnel; `early` are the bytes that came with it.

        The rest of a request body precedes the new protocol (RFC 9110 section 7.8), so the tunnel relays it unparsed like all
        other bytes: neither connection is used for another request.
        """
        client, lease, upstream = self.client, self.lease, self.upstream
        if not is_asked_for(self.request, response):
            self.fail(502, Why.BAD_RESPONSE, "the backend switches protocols unasked", Outcome.FAILED)
            return
        assert lease is not None and upstream is not None
        routing = routing_of(self)
        if routing is not None:  # a 101 is a final reply to its request, so the route's changes are for it, too, as in Envoy
            response = routing.reply(response)
        if self.settings.cookie is not None and self._lookup.is_moved:
            response = with_cookie(self, self._lookup, response)
        self.status = 101
        self.bytes_out += client.writer.switching(self, response)
        record = self._end(Outcome.ABORTED, monotonic(), TUNNEL)  # a tunnel's duration says nothing about the backend
        client.become_tunnel(upstream, lease, early, record)

    def reply(self, reply: Reply) -> None:
        """End with a reply that a stage has made."""
        if reply.body is None and reply.status >= 400:
            self.fail(reply.status, reply.why, reply.detail, Outcome.ABORTED, lines=reply.lines)
        elif self._state is not ENDED:
            self.why = reply.why
            self.status = reply.status
            if self.grpc is not None and reply.status >= 400:
                reply = self.grpc.error(reply.status, reply.why, reply.detail, b"")
            self.bytes_out += self.client.writer.own(self, reply)
            self._end(Outcome.ABORTED, monotonic(), CLOSED, reply.detail)
            self.client.end_error()

    def fail(self, status: int, why: Why, detail: str, outcome: Outcome, log_detail: str = "", lines: bytes = b"") -> None:
        """End with an error reply if no reply has begun; else break off, so that the reply does not look complete.

        `detail` is sent to the client; `log_detail` replaces it in the log; `lines` are more fields of the reply.
        """
        if self._state is ENDED:
            return
        if outcome is Outcome.FAILED and (self.resend is None or self.resend.again <= RetryOutcome.MADE):
            self._failed_try().not_again(RetryOutcome.BEGUN)  # no other reason against a resend was recorded
        has_replied = self._state is REPLYING
        self.why = why
        if why is Why.BAD_RESPONSE and self.lease is not None:
            self.settings.worker.reply_not_understood(self.lease.backend, detail, self.ids())
        if not has_replied:
            self.status = status
            if self.grpc is None:
                self.bytes_out += self.client.writer.error(self, status, why, detail, lines)
            else:
                self.bytes_out += self.client.writer.own(self, self.grpc.error(status, why, detail, lines))
        self._end(outcome, monotonic(), CLOSED, log_detail or detail)
        if has_replied:
            self.client.break_off(is_stuck=why is Why.CLIENT_TOO_SLOW)
        else:
            self.client.end_error()

    def _end(self, outcome: Outcome, now: float, fate: Fate, detail: str = "") -> AccessValues | None:
        """The only way to end: settles the upstream (by `fate`), the lease and the counters, once."""
        upstream, lease = self.upstream, self.lease
        waited = self.queue_wait is not None or self.resend is not None
        if waited:
            self._wait_no_more(now)
        routing = self.routing
        if routing is not None and (routing.is_waiting or routing.encoded is not None):
            routing.done()
        upload = self.upload
        if upload is not None:
            upload.release()
            if upload.copy is not None:
                upload.copy.break_off()
                upload.copy = None
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
            elif self.grpc is not None:
                self.grpc.release(self, lease, outcome, now)
            else:
                lease.release(outcome, now, None, self.status if outcome is _OK else self.why)
        record = count_exchange(self, now, lease, outcome, detail)
        if routing is not None:
            self.routing = None  # each holds the other: else they would wait for the garbage collector
        if waited:
            self.queue_wait = self.resend = None  # likewise
        return record

    def _wait_no_more(self, now: float) -> None:
        if self.queue_wait is not None:
            self.queue_wait.leave(now)
        if self.resend is not None:
            self.resend.done()
