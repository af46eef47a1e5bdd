"""An endpoint: method, path, handler, access, and its OpenAPI description. application() makes an app from a table of them."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from balance.admin.json_reply import reply
from balance.admin.order_parsing import is_local_host_header, is_same_origin

Handler = Callable[[Request], Awaitable[Response]]


class Access(enum.Enum):
    """Who may use an endpoint."""

    ANYWHERE = "anywhere"  # no secret is shown
    LOCAL = "local"  # shows addresses: loopback only
    ORDER = "order"  # changes something: loopback only, and not for web pages of another origin


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`query` and `body` are OpenAPI fragments: parameters by name, and the schema of the body."""

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    media_type: str = "application/json"
    aliases: tuple[str, ...] = ()
    can_be_refused: bool = False


class DynamicRoute(Route):
    """A route whose paths may change with a reload."""

    def __init__(self, paths: Callable[[], Sequence[str]], handler: Handler) -> None:
        super().__init__("/metrics", handler, methods=["GET"])
        self.paths = paths

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Matches against the present paths."""
        if scope["type"] != "http" or scope["path"] not in self.paths():
            return Match.NONE, {}
        allowed = scope["method"] in (self.methods or ())
        return Match.FULL if allowed else Match.PARTIAL, {"endpoint": self.endpoint, "path_params": {}}


def application(endpoints: Sequence[Endpoint], metrics: DynamicRoute, is_local_only: bool = False) -> Starlette:
    """An application of these endpoints and the metrics, with errors as JSON.

    `is_local_only`: it listens on loopback only, so that LOCAL and ORDER endpoints are allowed.
    """
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            by_path.setdefault(path, {})[endpoint.method] = _with_access_check(endpoint, is_local_only)
    routes: list[BaseRoute] = [
        Route(_pattern(path), _by_method(handlers), methods=list(handlers)) for path, handlers in by_path.items()
    ]
    app = Starlette(
        routes=[*routes, metrics],
        exception_handlers={HTTPException: _http_error_handler(list(by_path), metrics), Exception: _internal_error},
    )
    app.router.redirect_slashes = False  # a path that does not exist is a 404, not a 307 to one that may
    return app


def _pattern(path: str) -> str:
    return path.replace("{name}", "{name:path}")  # pool/name is a name too


def _by_method(handlers: dict[str, Handler]) -> Handler:
    async def handler(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return handler


def _with_access_check(endpoint: Endpoint, is_local_only: bool) -> Handler:
    if endpoint.access is Access.ANYWHERE:
        return endpoint.handler

    async def handler(request: Request) -> Response:
        is_order = endpoint.access is Access.ORDER
        if not is_local_only:
            what = "orders are taken" if is_order else "this is shown"
            raise HTTPException(
                403,
                f"{what} on a loopback admin address only; set admin.listen to 127.0.0.1:9090 "
                "(probes and metrics from elsewhere: metrics.listen)",
            )
        host = request.headers.get("host", "")
        if not is_local_host_header(host):  # DNS rebinding
            what = "orders are taken" if is_order else "this is shown"
            raise HTTPException(403, f"{what} under an address or localhost only, whatever name leads here")
        if is_order and not is_same_origin(request.headers.get("origin", ""), host):
            raise HTTPException(403, "orders are not taken from the pages of others")
        return await endpoint.handler(request)

    return handler


def _http_error_handler(paths: Sequence[str], metrics: DynamicRoute) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        match error.status_code:
            case 404 if error.detail == "Not Found":  # Starlette's default: no such path
                known = dict.fromkeys([*paths, *metrics.paths()])
                detail = f"there is no {request.url.path}; there are {', '.join(known)}"
            case 405:
                methods = sorted((error.headers or {}).get("Allow", "").split(", "))
                allowed = f"{' and '.join(methods)} {'are' if len(methods) > 1 else 'is'}"
                detail = f"{request.method} is not allowed on {request.url.path}; {allowed}"
            case _:
                detail = error.detail
        return reply({"error": detail}, error.status_code, dict(error.headers or {}))

    return refused


async def _internal_error(request: Request, error: Exception) -> Response:
    return reply({"error": "internal error; the log says more"}, 500)
