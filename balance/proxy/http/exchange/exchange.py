"""One HTTP request and its reply: where it is, what it holds, and whom to tell what happens to it.

What follows from an event is in its stage's file (buffered_start, backend_choice, tries, reply_head, reply_body, ending);
deadlines and early_ends are of every stage. Events of every request are dealt with here: one more call costs them 0.8 %. Parts
that not every exchange needs are objects made on demand: Upload, QueueWait, Resend, Routing, GrpcCall. ReplyWriter and Upstream
take messages (a request, a reply, more of a body) and write them as HTTP/1.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from balance.errors import ProtocolError, UpstreamError
from balance.http1.body import Body
from balance.http1.forwarding.forwarded_headers import ForwardedClient
from balance.http1.framing import NO_BODY
from balance.http1.head import Request, Response
from balance.http1.response import MAX_HEAD
from balance.model import Outcome, Why
from balance.proxy.buffering.body_rate import BodyRate
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.exchange.backend_choice import acquire, choose, go_on, nobody
from balance.proxy.http.exchange.buffered_start import awaits_body, begin
from balance.proxy.http.exchange.deadlines import await_next, expire
from balance.proxy.http.exchange.early_ends import client_gone, deny, upstream_ended, upstream_refused, upstream_unprocessed
from balance.proxy.http.exchange.ending import fail, own_reply, switch
from balance.proxy.http.exchange.exchange_state import CHOOSING, REPLYING
from balance.proxy.http.exchange.queue_wait import QueueWait
from balance.proxy.http.exchange.reply_body import encoded_of, more, next_slice, pause_download, resume_download
from balance.proxy.http.exchange.reply_head import begin_reply, interim
from balance.proxy.http.exchange.resend import Resend
from balance.proxy.http.exchange.tries import dial_again, dial_ended, give_back, use
from balance.proxy.http.grpc.call import GrpcCall, begin_call
from balance.proxy.http.request_head import client_view, request_head, usual_head
from balance.proxy.http.routed.routing import Routing
from balance.proxy.http.routed.settled_request import SettledRequest, settle, start_settled
from balance.proxy.http.traced import begin_trace
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.warning_throttle import RequestIds
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease
from balance.runtime.routes import Router
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.stages.stage import Reply
from balance.tracing.request_trace import RequestTrace

if TYPE_CHECKING:
    from balance.proxy.http.ends.exchange_client import ExchangeClient

MAX_REMEMBERED_HEAD: Final = 1024  # bytes; each connection to a backend has one

_now: Final = monotonic  # compiled, what is imported is looked up at each call
_ALL_WELL: Final = Why.OK


class Exchange:
    """One request and its reply; made when the request's head is complete."""

    __slots__ = (
        "attempts",
        "bytes_out",
        "client",
        "download",
        "grpc",
        "head",
        "head_at",
        "head_bytes",
        "interims",
        "is_reused",
        "lease",
        "lookup",
        "partial_head",
        "queue_wait",
        "reply_lines",
        "request",
        "request_id",
        "resend",
        "response",
        "routing",
        "sent_at",
        "settings",
        "settled",
        "started",
        "state",
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
    lookup: SessionLookup  # set if the pool keeps sessions in a cookie
    is_reused: bool  # the upstream had been parked
    response: Response  # set if the reply's body was not complete with its head
    download: Body  # the progress of that body

    def __init__(self, client: ExchangeClient, settings: ListenerSettings, request: Request, head_bytes: int) -> None:
        self.client = client
        self.settings = settings
        self.request = request
        self.started = _now()
        self.state = CHOOSING
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
        self.partial_head = b""  # the bytes of an incomplete head
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

    @property
    def tried(self) -> Sequence[Backend]:
        """Backends that the next try avoids."""
        return self.resend.tried if self.resend is not None else ()

    @property
    def is_encoded(self) -> bool:
        """Whether the reply's body is encoded: what goes to the client is not what the backend has sent."""
        return encoded_of(self) is not None

    @property
    def is_held_back(self) -> bool:
        """Whether the client can take no more of the reply, and neither can its buffer, if it has one."""
        if not self.client.is_write_paused:
            return False
        buffer = self.client.writer.buffer
        return buffer is None or buffer.is_full

    def ids(self) -> RequestIds:
        """For lines of the program's log about this request."""
        return RequestIds(self.request_id, self.trace.trace_id if self.trace is not None else b"")

    def total_s(self) -> float:
        """How long the whole request may take, all tries included. Seconds; NEVER for no limit."""
        return self.settings.request_s if self.grpc is None else self.grpc.total_s(self.settings)

    def limit_total(self) -> None:
        """The settings have changed: tell the client until when the request may take."""
        self.client.limit_total(self.started + self.total_s())

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
                choose(self, now)
                return data[head_end:]
            if sole.request_s != settings.request_s or self.grpc is not None:
                self.settings = sole
                self.limit_total()
            self.settings = settings = sole
        host = fields.host
        if own_id and host is not None and view is None and self.trace is None and client.after_host:
            self.head = usual_head(request.line, fields, host, client, own_id)
        else:
            forward = fields.forward if self.trace is None else fields.forward + self.trace.lines
            self.head = request_head(request.line, forward, host, client, view, own_id)
        if fields.framing is not NO_BODY:
            if self.grpc is None:
                upload = self.upload = Upload(fields, settings.listener.http, len(self.head))
            else:
                upload = self.upload = self.grpc.upload(settings, len(self.head))
            if settings.body_rate and (self.grpc is None or not self.grpc.may_last(settings)):
                upload.rate = BodyRate(settings.body_rate, settings.body_rate_grace_s)
            rest = upload.begin(data, head_end) if head_end < len(data) else b""
            begin(self, now)
            return rest
        choose(self, now)
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
                choose(self, self.started)
            else:
                begin(self, self.started)
        return body

    def begin(self, now: float) -> None:
        """The head is made and the pool is known: choose a backend, or first read the body where it is buffered."""
        begin(self, now)

    def acquire(self, now: float) -> Lease | None:
        """Ask the pool again, avoiding the backends tried."""
        return acquire(self, now)

    def go_on(self) -> None:
        """What is known of the session was found: choose a backend. No effect when the exchange has ended meanwhile."""
        go_on(self)

    def nobody(self, now: float) -> None:
        """The pool has no lease to give: enter the queue if waiting may help and there is room, else end with an error."""
        nobody(self, now)

    def use(self, lease: Lease, now: float) -> None:
        """Use this lease for a try: send on a parked upstream, or dial."""
        use(self, lease, now)

    def dial_ended(self, result: Upstream | UpstreamError, lease: Lease, proxy_header: bytes) -> None:
        """A dial for this lease has ended."""
        dial_ended(self, result, lease, proxy_header)

    # --- 2. the request goes out ----------------------------------------------------------------------

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
                await_next(self, monotonic())
        elif upload.is_waiting:
            upload.hold(out)
            if not awaits_body(self, upload):
                choose(self, monotonic())
        elif self.state is CHOOSING:  # no upstream yet: hold the bytes and pause the client
            upload.hold(out)
            upload.is_held = True
            self.client.pause_reading()
        return upload.rest

    def pause_upload(self) -> None:
        """Called by the upstream when it cannot take more of the request's body."""
        if self.upload is not None and not self.upload.is_done:
            self.client.pause_reading()
        await_next(self, monotonic())

    def pause_body_rate(self, now: float) -> None:
        """The client is not read from: that its body does not come is not its fault."""
        if self.upload is not None and self.upload.rate is not None:
            self.upload.rate.pause(now)

    def resume_upload(self) -> None:
        """Called by the upstream when it can take more of the request's body again."""
        if self.upload is not None:
            self.upload.settle()
        self.client.resume_reading()
        await_next(self, monotonic())

    # --- 3. the reply comes ---------------------------------------------------------------------------

    def response_received(self, data: bytes) -> None:
        """Bytes received from the backend: of a head, or of the reply's body."""
        if self.state is REPLYING:
            more(self, data)
            return
        seen = len(self.partial_head)
        if seen:
            data = self.partial_head + data
            self.partial_head = b""
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
                    self.partial_head = data
                    return
                if not head:
                    head = data if end == len(data) else data[:end]
                response = reader.read(head)
            except ProtocolError as error:
                self.not_understood(error)
                return
            seen = 0
            if response.status >= 200:
                if upstream is not None and end <= MAX_REMEMBERED_HEAD and not reader.is_tolerant:
                    upstream.last_head = head
                begin_reply(self, response, data, end)
                return
            head = b""
            data = data[end:]
            if response.status == 101:
                switch(self, response, data)
                return
            if not interim(self, response) or not data:
                return

    def next_slice(self) -> None:
        """Called in a later turn of the event loop: encode more of what was received."""
        next_slice(self)

    def pause_download(self) -> None:
        """Called by the client connection when it cannot take more of the reply."""
        pause_download(self)

    def resume_download(self) -> None:
        """Called by the client connection when it can take more of the reply again."""
        resume_download(self)

    # --- a failed try ---------------------------------------------------------------------------------

    def failed_try(self) -> Resend:
        """The record of its failed tries; made at the first of them."""
        if self.resend is None:
            self.resend = Resend(self)
        return self.resend

    def give_back(self, outcome: Outcome, now: float, *, keep_upstream: bool, end: int) -> None:
        """Release the upstream and the lease of a failed try before the next one; `end` is that of Lease.release()."""
        give_back(self, outcome, now, keep_upstream=keep_upstream, end=end)

    def dial_again(self, lease: Lease) -> None:
        """Send to the same backend on a new connection, as the reused one had been closed. The lease stays."""
        dial_again(self, lease)

    # --- early ends -----------------------------------------------------------------------------------

    def upstream_ended(self, exc: Exception | None) -> None:
        """The upstream has ended (`exc` is None) or failed. EPIPE is both: the end arrived before the reset."""
        upstream_ended(self, exc)

    def upstream_refused(self, error: UpstreamError) -> None:
        """The backend has refused the connection after the request was sent on it, and has looked at nothing of it. No effect
        when there is a reply: the end of the connection follows.
        """
        upstream_refused(self, error)

    def upstream_unprocessed(self, *, needs_http1: bool = False) -> None:
        """The backend has looked at nothing of the request, and says so (RFC 9113 section 8.7). `needs_http1`: it wants it over
        HTTP/1.1.
        """
        upstream_unprocessed(self, needs_http1=needs_http1)

    def upstream_reset(self, exc: Exception) -> None:
        """The backend has ended this request alone, and its connection goes on: no close has crossed the request."""
        self.is_reused = False
        upstream_ended(self, exc)

    def upstream_malformed(self, detail: str) -> None:
        """What the backend has sent breaks the rules of its protocol."""
        fail(self, 502, Why.BAD_RESPONSE, f"the backend's reply was not understood: {detail}", Outcome.FAILED)

    def not_understood(self, error: ProtocolError) -> None:
        """Fail for an invalid reply; `error` names the rule that it breaks."""
        fail(self, error.status, error.why, f"the backend's reply was not understood: {error.detail}", Outcome.FAILED)

    def client_gone(self) -> None:
        """The client connection has ended: abort the request at the backend, without a failure of the backend."""
        client_gone(self)

    def expire(self, now: float) -> None:
        """The deadline of the client connection has passed during this exchange: resend, wait on, or fail by the state."""
        expire(self, now)

    def cut(self) -> None:
        """The deadline of a drain has passed: fail with 503."""
        fail(self, 503, Why.DRAINING, "shutting down", Outcome.ABORTED)

    def refuse(self, error: ProtocolError) -> None:
        """Refuse the request for its body. The end of the body is not known either, so the connection closes."""
        self.client.writer.keeps_alive = False
        fail(self, error.status, error.why, error.detail, Outcome.ABORTED)

    def deny(self, error: ProtocolError, body: bytes) -> bytes:
        """Refuse the request for whose it is. The connection, which others share behind a proxy, goes on, unless more of the
        body is to come. `body` are the bytes after the head; returns those after the end of the body.
        """
        return deny(self, error, body)

    def crashed(self) -> None:
        """After a bug in our own code, with the state unknown: close the client connection, which releases all that is held."""
        self.note_crash()
        self.client.give_up()

    def note_crash(self) -> None:
        """There was a bug in our own code; who has caught it logs it, and ends the exchange."""
        self.why = Why.INTERNAL_ERROR
        if self.state is not REPLYING:
            self.status = 500
        self.settings.worker.request_crashed(self.ids())

    # --- 4. it ends -----------------------------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """End with a reply that a stage has made."""
        own_reply(self, reply)

    def fail(self, status: int, why: Why, detail: str, outcome: Outcome, log_detail: str = "", lines: bytes = b"") -> None:
        """End with an error reply if no reply has begun; else break off, so that the reply does not look complete.

        `detail` is sent to the client; `log_detail` replaces it in the log; `lines` are more fields of the reply.
        """
        fail(self, status, why, detail, outcome, log_detail, lines)
