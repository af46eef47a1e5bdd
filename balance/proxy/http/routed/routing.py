"""The way of one request to its pool: the listener's router, then the stages of the route, waits included; then its replies.

Made for each exchange of a listener with a router. No task: what a stage waits for calls wake(), and the deadline of the client
connection ends a wait.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from balance.errors import ProtocolError
from balance.http1.head import RequestFields, Response
from balance.model import Why
from balance.proxy.authorizing.authorizer import Asking, authorizer
from balance.proxy.http.request_head import request_head
from balance.proxy.http.routed.encoded_reply import EncodedReply
from balance.proxy.http.traced import copied_head
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.mirroring.copy_queue import Copy, copy_queue
from balance.runtime.backend import Backend
from balance.runtime.routes import Route, Router
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.security.authorization import Answer, Question
from balance.stages.settled import Settled
from balance.stages.stage import Reply, ReplyHead, Stage, Wait
from balance.stages.tally import Tally, joined
from balance.transform.lines_per_try import own_host

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

MAX_CHANGES: Final = 16  # routes of which a reply's head is remembered as they change it; 16 heads are remembered, too


class Routing(RequestContext):
    """Finds the route and runs its stages. Exchange.begin() follows when the last of them says go on."""

    __slots__ = (
        "_asking",
        "_at_timeout",
        "_exchange",
        "_next",
        "_ready_at",
        "encoded",
        "is_settled",
        "is_waiting",
        "sent_fields",
        "taken",
        "tally",
    )

    _at_timeout: Reply | None  # set by a wait, as is the next
    _ready_at: float  # when the wait ends, seconds, monotonic

    def __init__(self, exchange: Exchange) -> None:
        self.begin()
        request, client, settings = exchange.request, exchange.client, exchange.settings
        fields = request.fields
        self._exchange = exchange
        self._next = 0  # the stage to ask first
        self.is_waiting = False
        self._asking: Asking | None = None  # an authorizer
        self.is_settled = False  # its lines settle what all stages do (see settled_request); known after the first request only
        self.taken: Route | None = None  # the route that was found
        self.tally: Tally | None = None  # what is asked of each request, where all else is settled
        self.encoded: EncodedReply | None = None  # the body of the reply, where a stage encodes it
        self.fields = self.sent_fields = fields
        self.method = request.method
        self.target = request.target
        self.forward = fields.forward
        self.request_id = exchange.request_id
        self.now = exchange.started
        self.rand = settings.worker.rand
        self.is_trusted = client.is_trusted
        if client.is_trusted:
            self.client = exchange.view.address
            self.scheme = "https" if exchange.view.is_secure else "http"
        else:
            self.client = client.peer
            self.scheme = settings.scheme
        host = fields.host
        if host is not None:
            self.host_sent = host
            self.host = settings.host_names.get(host) or settings.host_name(host)
        else:
            self.host_sent = b""
            self.host = ""

    def start(self, router: Router, sole: ListenerSettings | None) -> bool:
        """Find the route and run its stages. False when the request was replied to, or waits.

        `sole` are the settings of the route that takes all requests of this Host, if that is known. ProtocolError for a body
        that is longer than the route allows.
        """
        exchange = self._exchange
        client = exchange.client
        before = client.settings
        if sole is None or sole.staged is None:
            found = router.find(self)
            if type(found) is Reply:
                exchange.reply(found)
                return False
            assert type(found) is Route
            settings = before.routed.get(found) or before.for_route(found, self.pool)
            if found.may_be_sole and router.sole(self.host) is found:
                before.remember_sole(self.fields.host, settings)
        else:
            settings, found = sole, sole.staged
            self.path, mark, query = self.target.partition(b"?")
            self.query = mark + query
            self.route = found.name
            self.pool = found.config.pool
        self.taken = found
        exchange.settings = settings
        if settings.request_s != before.request_s or exchange.grpc is not None:
            exchange.limit_total()
        limit = found.config.body_bytes
        if limit:
            if self.fields.length > limit:
                raise ProtocolError(413, Why.BODY_TOO_LARGE, f"a body of more than {limit} bytes")
            if exchange.upload is not None:
                exchange.upload.lower_limit(limit)
        return self._run(found)

    def _run(self, route: Route) -> bool:
        """Ask the stages from `_next` on. True when all let the request go on: the head is made then."""
        stages, first = route.stages, self._next
        is_new = False
        if not first:
            notes = self.fields.notes
            settled: Settled | None = None if notes is None else notes.get(route)
            if settled is not None and settled.method == self.method and settled.is_trusted is self.is_trusted:
                first = settled.count
                if first:
                    self.pool, self.rule, self.forward = settled.pool, settled.rule, settled.forward
                    self.host_to_backend, self.without_own = settled.host_to_backend, settled.without_own
                    self.per_try = settled.per_try
            else:
                is_new = True
        for stage in stages[first:] if first else stages:
            answer = stage.on_request(self)
            if answer is None:
                if is_new:
                    first += 1
                    is_new = self._settle(route, stage, first)
                    if not is_new:
                        self.tally = stage.tally(self)
                elif self.tally is not None and not stage.is_settled(self):
                    self.tally = joined(self.tally, stage.tally(self))
                continue
            if type(answer) is Wait:
                self._next = stages.index(stage) + 1
                self._wait(answer)
            else:
                assert type(answer) is Reply
                self._exchange.reply(answer)
            return False
        self.is_settled = is_new or self.tally is not None
        if self.pool != route.config.pool:
            self._go_to(route)
        if route.regions is not None:
            exchange = self._exchange
            exchange.settings = exchange.client.settings.in_region(route, self.pool, self.region)
        if self.per_try is None:
            self._make_head(self.forward, has_host=bool(self.host_to_backend))
        return True

    def _settle(self, route: Route, stage: Stage, count: int) -> bool:
        """Remember what the first `count` stages came to, if that is settled. `stage` is the last of them."""
        is_settled = stage.is_settled(self)
        if is_settled or count == 1:
            note(self.fields, route, Settled(self, count if is_settled else 0))
        return is_settled

    def _go_to(self, route: Route) -> None:
        """A stage has chosen another pool than the route's own."""
        exchange = self._exchange
        client = exchange.client
        exchange.settings = client.settings.for_route(route, self.pool)
        exchange.limit_total()

    def name_backend(self, backend: Backend) -> None:
        """Make the head for a try that goes to this backend, where the head names it."""
        per_try = self.per_try
        if per_try is not None:
            authority = b""
            if per_try.has_host:
                authority = self.host_to_backend = own_host(backend.address)
            self.backend = backend.name
            self._make_head(per_try.lines(self, authority) + self.forward, has_host=bool(self.host_to_backend))
        if self.mirror:
            self._copy_to_mirror()

    def _copy_to_mirror(self) -> None:
        """Give the mirror a copy of the request, as its first backend gets it; a body that is not whole follows."""
        exchange, route = self._exchange, self.taken
        mirror, self.mirror = self.mirror, ""
        target = route.targets.get(mirror) if route is not None else None
        if route is None or target is None:
            return
        upload, queue = exchange.upload, copy_queue(exchange.settings.worker, mirror)
        copy = Copy(queue, target.pool, self.method, copied_head(exchange, mirror, monotonic()), route.block)
        if upload is None:
            copy.add(b"", is_whole=True)
        elif copy.add(bytes(upload.kept or b""), is_whole=upload.is_done):
            upload.copy = copy

    def _make_head(self, forward: bytes, *, has_host: bool) -> None:
        """The head of the request as the stages changed it. `has_host`: a Host in place of the client's is in `forward`."""
        exchange = self._exchange
        request, client = exchange.request, exchange.client
        fields = request.fields
        host = fields.host
        if host is None and (has_host or self.without_own):
            host = client.own_host()
            if not has_host:
                forward = b"Host: %b\r\n%b" % (host, forward)
        target = self.path + self.query if self.query else self.path
        line = request.line if target == request.target else b"%b %b HTTP/1.1\r\n" % (request.method, target)
        if exchange.trace is not None:
            forward += exchange.trace.lines
        view = exchange.view if client.is_trusted else None
        own_id = b"" if fields.request_id else exchange.request_id
        head = request_head(line, forward, host, client, view, own_id, self.without_own)
        exchange.head = head if exchange.upload is None else exchange.upload.head(head)

    def _wait(self, wait: Wait) -> None:
        now = monotonic()
        self.is_waiting = True
        self._at_timeout = wait.at_timeout
        self._ready_at = now + wait.timeout_s
        self._exchange.client.arm(now, wait.timeout_s)

    def done(self) -> None:
        """The exchange has ended: a wait has no effect any more, and what its reply took is free."""
        self.is_waiting = False
        if self._asking is not None:
            self._asking.cancel(is_late=False)
            self._asking = None
        if self.encoded is not None:
            self.encoded.close()

    def use_fields(self, fields: RequestFields) -> None:
        """Policies that hash a field, and sessions, go by them, too."""
        self.fields = fields
        self._exchange.request.fields = fields

    def off_loop(self, job: Callable[[], object], done: Callable[[object], None]) -> bool:
        return self._exchange.settings.worker.jobs.run(job, done)

    def ask(self, pool: str, question: Question, done: Callable[[Answer], None]) -> bool:
        route, settings = self.taken, self._exchange.settings
        assert route is not None
        self._asking = authorizer(settings.worker, pool).ask(route.targets[pool].pool, question, settings.replies, done)
        return self._asking is not None

    def epoch(self) -> float:
        return time()

    def wake(self, reply: Reply | None) -> None:
        """What a stage waited for has come: `reply` ends the request, None lets it go on. No effect after the wait."""
        if not self.is_waiting:
            return
        self.is_waiting = False
        self._asking = None
        exchange = self._exchange
        try:
            if reply is not None:
                exchange.reply(reply)
            elif self.taken is not None and self._run(self.taken):
                exchange.begin(monotonic())
        except Exception:  # called outside a transport callback, which would end the connection
            exchange.crashed()
            raise

    def expire(self, now: float) -> None:
        """The client connection's deadline has passed during a wait."""
        if now < self._ready_at:
            self._exchange.client.arm(now, self._ready_at - now)
        else:
            if self._asking is not None:
                self._asking.cancel(is_late=True)
            self.wake(self._at_timeout)

    # --- replies --------------------------------------------------------------------------------------

    def reply(self, response: Response) -> Response:
        """The backend's reply as the stages change its head."""
        route, exchange, lines = self.taken, self._exchange, self.reply_lines
        if route is None or not (route.replies or lines):
            return response
        changes = response.changes
        if changes is not None and not lines:
            known = changes.get(route)
            if known is not None:
                return known
        self.backend = exchange.lease.backend.name if exchange.lease is not None else ""
        head = ReplyHead(response.status, response.forward, response.framing, response.length)
        is_lasting = self._change(head)
        changed = response.changed(head.lines)
        if head.encoder is not None:
            self.encoded = EncodedReply(exchange, head.encoder)
        elif is_lasting:
            if changes is None or len(changes) >= MAX_CHANGES:
                changes = response.changes = {}
            changes[route] = changed
        return changed

    def own_reply(self, status: int, lines: bytes) -> bytes:
        """The lines of a reply of our own as the stages change them."""
        self.backend = ""  # of a failed try
        head = ReplyHead(status, lines, is_own=True)
        self._change(head)
        return head.lines

    def _change(self, head: ReplyHead) -> bool:
        """Change the head. Whether every backend's reply with this head is changed alike."""
        is_lasting = not self.reply_lines
        if self.taken is not None:
            for stage in self.taken.replies:
                is_lasting = is_lasting and stage.is_same_for_all(head.lines)
                stage.on_reply(self, head)
        head.lines += self.reply_lines
        return is_lasting
