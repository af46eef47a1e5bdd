"""The stage of a route that redirects instead of asking a backend (RFC 9110 section 15.4)."""

from __future__ import annotations

from typing import Final

from balance import linear_regex
from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Stage
from balance.transform.redirect_target import RedirectTarget

_NO_HOST: Final = Reply(400, Why.BAD_REQUEST, "no Host, so there is nothing to redirect to")
_IS_THERE: Final = Reply(404, Why.NO_ROUTE, "the request is already where its route redirects to")


def redirect_reply(target: RedirectTarget, status: int, context: RequestContext) -> Reply | None:
    """The redirect of a request; None for one that is already there. For routes and for rules.

    A client repeats the method and body for 307 and 308 only; with 301 and 302 browsers make a POST a GET.
    """
    if target.needs_host and not context.host_sent:
        return _NO_HOST
    location = target.location(context)
    return Reply(status, Why.REDIRECTED, lines=b"Location: " + location + b"\r\n", body=b"") if location else None


class RedirectStage(Stage):
    """Answers each request of the route."""

    __slots__ = ("_may_go_on", "_status", "_target")

    def __init__(self, target: RedirectTarget, status: int, *, may_go_on: bool) -> None:
        """`may_go_on`: a request that is already there has a backend to go to."""
        self._target = target
        self._status = status
        self._may_go_on = may_go_on

    def on_request(self, context: RequestContext) -> Reply | None:
        """Redirect, unless the request is already there."""
        reply = redirect_reply(self._target, self._status, context)
        return _IS_THERE if reply is None and not self._may_go_on else reply


def upgrade_stage(route: RouteConfig, environment: object) -> RedirectStage | None:
    """The stage of a route that sends its clients to https and nowhere else: before somebody gives a password in plain text."""
    redirect = route.redirect
    if redirect is None or not redirect.is_upgrade:
        return None
    return RedirectStage(RedirectTarget(redirect), redirect.status, may_go_on=bool(route.pool or route.split))


def redirect_stage(route: RouteConfig, environment: object) -> RedirectStage | None:
    """The stage of a route, if it redirects to another place."""
    redirect = route.redirect
    if redirect is None or redirect.is_upgrade:
        return None
    pattern = linear_regex.compile(route.match.path) if route.match.path_operator == "regex" else None
    return RedirectStage(RedirectTarget(redirect, pattern), redirect.status, may_go_on=bool(route.pool or route.split))
