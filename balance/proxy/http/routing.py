"""The way of one request to its pool: the listener's router, then the stages of the route, waits included; then its replies.

Made for each exchange of a listener with a router. No task: what a stage waits for calls wake(), and the deadline of the client
connection ends a wait.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from balance.errors import ProtocolError
from balance.host_names import normalize_host
from balance.http1.head import Response
from balance.model import Why
from balance.proxy.http.encoded_reply import EncodedReply
from balance.proxy.http.request_head import request_head
from balance.proxy.mirroring.copy_queue import Copy, copy_queue
from balance.routing.request_view import RequestView
from balance.runtime.backend import Backend
from balance.runtime.routes import Route, Router
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, ReplyHead, Wait
from balance.transform.lines_per_try import own_host

if TYPE_CHECKING:
    from balance.proxy.http.exchange import Exchange


class Routing:
    """Finds the route and runs its stages. Exchange.begin() follows when the last of them says go on."""

    __slots__ = ("_at_timeout", "_exchange", "_next", "_ready_at", "context", "encoded", "is_waiting", "route")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._next = 0  # the stage to ask next
        self._at_timeout: Reply | None = None
        self._ready_at = 0.0  # when the wait ends, seconds, monotonic
        self.is_waiting = False
        self.route: Route | None = None
        self.encoded: EncodedReply | None = None  # the body of the reply, where a stage encodes it
        self.context = _context(exchange, self)

    def start(self, router: Router) -> bool:
        """Find the route and run its stages. False when the request was replied to, or waits.

        ProtocolError for a body that is longer than the route allows.
        """
        exchange, context = self._exchange, self.context
        found = router.find(context)
        if isinstance(found, Reply):
            exchange.reply(found)
            return False
        self.route = found
        settings = exchange.settings = exchange.settings.for_route(found, context.pool)
        exchange.client.limit_total(exchange.started + settings.request_s)
        limit = found.config.body_bytes
        if limit:
            if exchange.request.fields.length > limit:
                raise ProtocolError(413, Why.BODY_TOO_LARGE, f"a body of more than {limit} bytes")
            if exchange.upload is not None:
                exchange.upload.lower_limit(limit)
        return self._run()

    def _run(self) -> bool:
        """Ask the stages from `_next` on. True when all let the request go on."""
        assert self.route is not None
        exchange, context, stages = self._exchange, self.context, self.route.stages
        while self._next < len(stages):
            stage = stages[self._next]
            self._next += 1
            answer = stage.on_request(context)
            if answer is None:
                continue
            if isinstance(answer, Reply):
                exchange.reply(answer)
                return False
            self._wait(answer)
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        """All stages are done: the request as they changed it, to the pool that they chose."""
        exchange, context, route = self._exchange, self.context, self.route
        assert route is not None
        client = exchange.client
        if context.pool != route.config.pool:
            exchange.settings = client.settings.for_route(route, context.pool)
            client.limit_total(exchange.started + exchange.settings.request_s)
        if route.regions is not None:
            exchange.settings = client.settings.in_region(route, context.pool, context.region)
        if context.per_try is None:
            self._make_head(context.forward, has_host=bool(context.host_to_backend))

    def name_backend(self, backend: Backend) -> None:
        """Make the head for a try that goes to this backend, where the head names it."""
        context = self.context
        per_try = context.per_try
        if per_try is not None:
            authority = b""
            if per_try.has_host:
                authority = context.host_to_backend = own_host(backend.address)
            context.backend = backend.name
            self._make_head(per_try.lines(context, authority) + context.forward, has_host=bool(context.host_to_backend))
        if context.mirror:
            self._copy_to_mirror()

    def _copy_to_mirror(self) -> None:
        """Give the mirror a copy of the request, as its first backend gets it; a body that is not whole follows."""
        exchange, context, route = self._exchange, self.context, self.route
        mirror, context.mirror = context.mirror, ""
        target = route.targets.get(mirror) if route is not None else None
        if route is None or target is None:
            return
        upload, queue = exchange.upload, copy_queue(exchange.settings.worker, mirror)
        copy = Copy(queue, target.pool, context.method, exchange.head, route.block)
        if upload is None:
            copy.add(b"", is_whole=True)
        elif copy.add(upload.kept or b"", is_whole=upload.is_done):
            upload.copy = copy

    def _make_head(self, forward: bytes, *, has_host: bool) -> None:
        """The head of the request as the stages changed it. `has_host`: a Host in place of the client's is in `forward`."""
        exchange, context = self._exchange, self.context
        request, client = exchange.request, exchange.client
        fields = request.fields
        host = fields.host
        if host is None and (has_host or context.without_own):
            host = client.own_host()
            if not has_host:
                forward = b"Host: %b\r\n%b" % (host, forward)
        target = context.path + context.query if context.query else context.path
        line = request.line if target == request.target else b"%b %b HTTP/1.1\r\n" % (request.method, target)
        view = exchange.view if client.is_trusted else None
        own_id = b"" if fields.request_id else exchange.request_id
        exchange.head = request_head(line, forward, host, client, view, own_id, context.without_own)

    def _wait(self, wait: Wait) -> None:
        now = monotonic()
        self.is_waiting = True
        self._at_timeout = wait.at_timeout
        self._ready_at = now + wait.timeout_s
        self._exchange.client.arm(now, wait.timeout_s)

    def done(self) -> None:
        """The exchange has ended: a wait has no effect any more, and what its reply took is free."""
        self.is_waiting = False
        if self.encoded is not None:
            self.encoded.close()

    def wake(self, reply: Reply | None) -> None:
        """What a stage waited for has come: `reply` ends the request, None lets it go on. No effect after the wait."""
        if not self.is_waiting:
            return
        self.is_waiting = False
        exchange = self._exchange
        try:
            if reply is not None:
                exchange.reply(reply)
            elif self._run():
                exchange.begin(monotonic())
        except Exception:  # called outside a transport callback, which would end the connection
            exchange.crashed()
            raise

    def expire(self, now: float) -> None:
        """The client connection's deadline has passed during a wait."""
        if now < self._ready_at:
            self._exchange.client.arm(now, self._ready_at - now)
        else:
            self.wake(self._at_timeout)

    # --- replies --------------------------------------------------------------------------------------

    def reply(self, response: Response) -> Response:
        """The backend's reply as the stages change its head."""
        route, context, backend = self.route, self.context, self._exchange.backend
        if route is None or not (route.replies or context.reply_lines):
            return response
        context.backend = backend.name if backend is not None else ""
        head = ReplyHead(response.status, response.forward, response.framing, response.length)
        self._change(head)
        if head.encoder is not None:
            self.encoded = EncodedReply(self._exchange, head.encoder)
        return response.changed(head.lines)

    def own_reply(self, status: int, lines: bytes) -> bytes:
        """The lines of a reply of our own as the stages change them."""
        self.context.backend = ""  # of a failed try
        head = ReplyHead(status, lines, is_own=True)
        self._change(head)
        return head.lines

    def _change(self, head: ReplyHead) -> None:
        context = self.context
        if self.route is not None:
            for stage in self.route.replies:
                stage.on_reply(context, head)
        head.lines += context.reply_lines


def _context(exchange: Exchange, routing: Routing) -> RequestContext:
    request, client, settings = exchange.request, exchange.client, exchange.settings
    fields = request.fields
    context = RequestContext()
    context.method = request.method
    context.target = request.target
    context.fields = fields
    context.view = RequestView(fields, request.target, is_trusted=client.is_trusted)
    context.client = exchange.client_address
    context.is_trusted = client.is_trusted
    context.scheme = ("https" if exchange.view.is_secure else "http") if client.is_trusted else settings.scheme
    context.host_sent = fields.host or b""
    context.host = normalize_host(context.host_sent.decode("ascii"))
    context.request_id = exchange.request_id
    context.now = exchange.started
    context.rand = settings.worker.rand
    context.wake = routing.wake
    context.forward = fields.forward
    return context
