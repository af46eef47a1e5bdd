"""The side doors' pages: health, readiness, status, backends, version, metrics. Each reads the inside and answers at once;
orders go to control.

Health, readiness, version and metrics carry no secret and answer everywhere, since kubelets and Prometheus come from
elsewhere; the status and the backends name addresses and are for this machine only, as orders are.
"""

from __future__ import annotations

import ipaddress
import json
import platform
import time
from collections.abc import Callable
from typing import Any

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance.health.readiness import why_not_ready, why_unhealthy
from balance.model import Address
from balance.side.backends import backends
from balance.side.exposition import registry
from balance.side.inside import Inside
from balance.side.orders import LIMIT_BYTES, find, is_own_host, read_order
from balance.side.status import duration, status
from balance.version import VERSION

# Path aliases: Kubernetes' customary names, and those that existing users' probes ask for.
HEALTH_PATHS = ("/health", "/healthz", "/livez", "/liveness")
READY_PATHS = ("/ready", "/readyz", "/readiness")


def admin_app(inside: Inside) -> Starlette:
    """Everything, for the admin listener."""
    doors = Doors(inside)
    routes = [
        *_routes(doors.health, *HEALTH_PATHS),
        *_routes(doors.ready, *READY_PATHS),
        *_routes(doors.status, "/status"),
        *_routes(doors.version, "/version"),
        *_routes(doors.backends, "/backends"),
        Route("/backends/{name:path}", doors.order, methods=["PATCH"]),
        *(_metrics_routes(inside) if inside.config.metrics.enabled else ()),
    ]
    return _app(routes)


def metrics_app(inside: Inside) -> Starlette:
    """The metrics alone, for a listener of their own."""
    return _app(_metrics_routes(inside))


class Doors:
    """The pages over one inside."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def health(self, request: Request) -> Response:
        """Whether this instance should be left running."""
        inside = self._inside
        reasons = why_unhealthy(inside.board.stage, inside.workers(), time.monotonic_ns() // 1000)
        return _verdict("unhealthy" if reasons else "healthy", reasons)

    def ready(self, request: Request) -> Response:
        """Whether traffic should be sent here."""
        inside = self._inside
        reasons = why_not_ready(inside.board.stage, inside.pool_states())
        return _verdict("not ready" if reasons else "ready", reasons)

    def version(self, request: Request) -> Response:
        """What runs here, and since when."""
        uptime_s = time.time() - self._inside.started_at
        return reply({"name": "balance", "version": VERSION, "python": platform.python_version(), "uptime": duration(uptime_s)})

    def backends(self, request: Request) -> Response:
        """How every backend stands, and why."""
        self._must_be_local("the backends are shown")
        return reply(backends(self._inside, time.time(), time.monotonic_ns() // 1000))

    async def order(self, request: Request) -> Response:
        """An operator's word on one backend."""
        self._must_be_local("orders are taken")
        if not is_own_host(request.headers.get("host", "")):
            raise HTTPException(403, "orders are taken under an address or localhost only, whatever name leads here")
        seen = find(self._inside, request.path_params["name"])
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LIMIT_BYTES:
                break  # read_order() says the rest
        event = read_order(body)
        state = self._inside.order(seen.slot, event, "ordered on the admin port")
        return reply({"pool": seen.pool.name, "name": seen.backend.name, "state": state.word})

    def status(self, request: Request) -> Response:
        """All that a person wants to know at a glance."""
        self._must_be_local("the status is shown")
        return reply(status(self._inside, time.time(), time.monotonic_ns() // 1000))

    def _must_be_local(self, what: str) -> None:
        if not is_local(self._inside.config.admin.address):
            raise HTTPException(403, f"{what} on a loopback admin address only; set admin.listen to 127.0.0.1:9090")


def is_local(address: Address) -> bool:
    """Whether only this machine can connect to an address."""
    if address.is_unix or address.host == "localhost":
        return True
    return address.is_ip and ipaddress.ip_address(address.host).is_loopback


def reply(document: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON for people too: indented, and never kept by a cache."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return Response(text, status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")


def _verdict(word: str, reasons: list[str]) -> Response:
    if reasons:
        return reply({"status": word, "reasons": reasons}, 503)
    return reply({"status": word})


def _metrics_routes(inside: Inside) -> list[Route]:
    metrics = registry(inside)

    def scrape(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics), headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return _routes(scrape, *dict.fromkeys((inside.config.metrics.path, "/metrics", "/prometheus")))


def _routes(page: Callable[[Request], Response], *paths: str) -> list[Route]:
    async def on_the_loop(request: Request) -> Response:
        return page(request)  # Starlette would run a plain function on a thread, and control has none

    return [Route(path, on_the_loop, methods=["GET"]) for path in paths]


def _app(routes: list[Route]) -> Starlette:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known = ", ".join(dict.fromkeys(route.path for route in routes))
        match error.status_code:
            case 404:
                detail = f"there is no {request.url.path}; there are {known}"
            case 405:
                methods = sorted((error.headers or {}).get("Allow", "").split(", "))
                allowed = f"{' and '.join(methods)} {'are' if len(methods) > 1 else 'is'}"
                detail = f"{request.method} is not allowed on {request.url.path}; {allowed}"
            case _:
                detail = error.detail
        return reply({"error": detail}, error.status_code, dict(error.headers or {}))

    async def broken(request: Request, error: Exception) -> Response:
        return reply({"error": "internal error; the log says more"}, 500)

    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: broken})
    app.router.redirect_slashes = False  # a path that does not exist is a 404, not a 307 to one that may
    return app
