"""Requests of which the field lines settle what the stages of their route do: they go the way of a route without stages.

The first request with some lines takes its stages one by one. Where each of them does the same to all requests with these lines
(see stages/settled), and the route is the only one of the Host, the next one asks nobody: it needs no Routing until something
asks for one, such as a reply whose head the route has not changed before, or an error page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balance.http1.head import Response
from balance.proxy.http.request_head import request_head
from balance.proxy.http.routed.routing import Routing
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime.routes import Route
from balance.stages.notes import note

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange


class SettledRequest:
    """What becomes of every request with the same lines and method. Kept with the lines, by the settings of the route."""

    __slots__ = ("fields", "forward", "identity", "method", "pool", "route", "rule", "settings", "tally")

    def __init__(self, routing: Routing, route: Route, settings: ListenerSettings) -> None:
        """`settings` are those of the pool that the stages have chosen."""
        self.route = route
        self.settings = settings
        self.method = routing.method
        self.pool = routing.pool
        self.rule = routing.rule
        self.forward = routing.forward
        self.fields = routing.fields  # without what says who it is from, where a stage says that
        self.identity = routing.identity
        self.tally = routing.tally


def settle(exchange: Exchange, routing: Routing) -> None:
    """Remember what became of this request, whose stages are all settled, if its head is made as without stages."""
    route, fields = routing.taken, routing.sent_fields
    sole = exchange.client.settings.sole_hosts.get(fields.host)
    is_usual = not (routing.is_trusted or routing.without_own or routing.host_to_backend) and routing.per_try is None
    if is_usual and route is not None and route.regions is None and sole is not None and sole.staged is route:
        note(fields, sole, SettledRequest(routing, route, exchange.settings))


def start_settled(exchange: Exchange, sole: ListenerSettings) -> bool:
    """Make the head of a request without a body, if its lines settle what becomes of it. `sole` are its route's settings."""
    request, client = exchange.request, exchange.client
    fields = request.fields
    settled: SettledRequest | None = None if fields.notes is None else fields.notes.get(sole)
    if settled is None or settled.method != request.method or client.is_trusted:
        return False
    if settled.tally is None:
        exchange.reply_lines = b""
    else:
        lines = settled.tally.admit(client.peer, exchange.started)
        if lines is None:
            return False
        exchange.reply_lines = lines
    settings = settled.settings
    has_limit = settings.request_s != exchange.settings.request_s or exchange.grpc is not None
    exchange.settings = settings
    if has_limit:
        exchange.limit_total()
    exchange.settled = settled
    if settled.fields is not fields:
        request.fields = settled.fields
    own_id = b"" if fields.request_id else exchange.request_id
    forward = settled.forward if exchange.trace is None else settled.forward + exchange.trace.lines
    exchange.head = request_head(request.line, forward, fields.host, client, None, own_id)
    return True


def settled_reply(exchange: Exchange, settled: SettledRequest, response: Response) -> Response:
    """The backend's reply as the route changes it; the lines of this reply alone are for whoever writes it."""
    route = settled.route
    if not route.replies:
        return response
    changes = response.changes
    known = changes.get(route) if changes is not None else None
    if known is None:
        routing = resume(exchange, settled)
        routing.reply_lines = b""
        known = routing.reply(response)
        routing.reply_lines = exchange.reply_lines
    return known


def resume(exchange: Exchange, settled: SettledRequest) -> Routing:
    """Make the routing of a settled request after all, as its stages have left it."""
    routing = exchange.routing = Routing(exchange)
    routing.taken = settled.route
    routing.route = settled.route.name
    routing.path, mark, query = routing.target.partition(b"?")
    routing.query = mark + query
    routing.pool = settled.pool
    routing.rule = settled.rule
    routing.forward = settled.forward
    routing.identity = settled.identity
    routing.reply_lines = exchange.reply_lines
    return routing


def routing_of(exchange: Exchange) -> Routing | None:
    """The routing of a request, also of a settled one; None where no stage has a say."""
    if exchange.routing is None and exchange.settled is not None:
        return resume(exchange, exchange.settled)
    return exchange.routing
