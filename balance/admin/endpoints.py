"""An endpoint: method, path, handler, access, and its OpenAPI description. application() makes an app from a table of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from balance.admin.access.audit import ENTRY, AuditEntry
from balance.admin.access.client import CLIENT
from balance.admin.access.gate import Access, Gate
from balance.admin.events.history import EventLog
from balance.admin.json_reply import reply

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`query` and `body` are OpenAPI fragments: parameters by name (a text alone describes one), and the schema of the body."""

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    query: dict[str, str | dict[str, Any]] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    needs_body: bool = False  # whether an empty one says nothing
    media_type: str = "application/json"
    produces: tuple[str, ...] = ("application/json",)
    aliases: tuple[str, ...] = ()
    can_be_refused: bool = False
    version_of: str = ""  # what the version in If-Match is of
    is_probe: bool = False  # says no with 503
    also: dict[str, str] = field(default_factory=dict)  # statuses of its own, and what they mean


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


def application(endpoints: Sequence[Endpoint], metrics: DynamicRoute, events: EventLog, gate: Gate | None = None) -> Starlette:
    """An application of these endpoints and the metrics, with errors as JSON. Without a gate all of them have to be open."""
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            by_path.setdefault(path, {})[endpoint.method] = _guarded(endpoint, events, gate)
    routes: list[BaseRoute] = [
        Route(_pattern(path), _by_method(handlers), methods=list(handlers)) for path, handlers in by_path.items()
    ]
    app = Starlette(
        routes=[*routes, metrics],
        middleware=[Middleware(_SecurityHeaders)],
        exception_handlers={HTTPException: _http_error_handler(list(by_path), metrics), Exception: _internal_error},
    )
    app.router.redirect_slashes = False  # a path that does not exist is a 404, not a 307 to one that may
    return app


def _pattern(path: str) -> str:
    return path.replace("{name}", "{name:path}").replace("{file}", "{file:path}")  # pool/name is a name too


def _by_method(handlers: dict[str, Handler]) -> Handler:
    async def handler(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return handler


def _guarded(endpoint: Endpoint, events: EventLog, gate: Gate | None) -> Handler:
    if endpoint.access is Access.OPEN:
        return endpoint.handler
    assert gate is not None
    answer = _one_by_one(endpoint.handler) if endpoint.version_of else endpoint.handler

    async def handler(request: Request) -> Response:
        client = request.scope[CLIENT] = gate.admit(request, endpoint.access)
        if endpoint.access is Access.READ:
            return await answer(request)
        entry = request.scope[ENTRY] = AuditEntry(events, client)
        outcome = "done"
        try:
            return await answer(request)
        except HTTPException as error:
            outcome = f"refused: {error.detail}"
            raise
        except BaseException as error:
            outcome = f"failed: {type(error).__name__}"
            raise
        finally:
            if not entry.is_noted:
                entry.note(f"{request.method} {request.url.path}", outcome)

    return handler


def _one_by_one(answer: Handler) -> Handler:
    """Of orders that depend on a version the next is looked at when the one before has been obeyed."""
    turn = asyncio.Lock()

    async def handler(request: Request) -> Response:
        if "if-match" not in request.headers:
            return await answer(request)
        async with turn:
            return await answer(request)

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


class _SecurityHeaders:
    """Fields on every reply that tell browsers to load, show and embed nothing of this port."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}  # the page may load its own files
                message["headers"] = [*message["headers"], *(each for each in SECURITY_HEADERS if each[0] not in own)]
            await send(message)

        await self._app(scope, receive, with_headers)
