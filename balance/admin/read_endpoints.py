"""The GET endpoints: health, readiness, status, backends, pools, routes, configuration, events, metrics."""

from __future__ import annotations

import os
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.backends import backend, backends
from balance.admin.dashboard.state.backends import version
from balance.admin.events.stream import EventStream, event_document, parse_since
from balance.admin.json_reply import iso_time, reply
from balance.admin.metrics.backend_document import backend_document
from balance.admin.metrics.exposition import Exposition
from balance.admin.metrics.formats import Format, negotiate
from balance.admin.metrics.totals import Totals
from balance.admin.order_parsing import find_backend, read_flag
from balance.admin.routes import routes
from balance.admin.sessions import session, sessions
from balance.admin.state_view import StateView
from balance.admin.status import duration, pools, status
from balance.admin.supervisor_orders import GenerationInfo
from balance.build_details import BuildDetails
from balance.compression import accept_encoding
from balance.config.overrides.redacted import redacted
from balance.health.readiness import not_ready_reasons, unhealthy_reasons
from balance.interpreter import Interpreter
from balance.version import VERSION


class ReadEndpoints:
    """Handlers over one StateView."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._exposition = Exposition.of(view)

    async def health(self, request: Request) -> Response:
        """Liveness."""
        view = self._view
        reasons = unhealthy_reasons(view.board.stage, view.workers(), time.monotonic_ns() // 1000)
        return _probe_response("unhealthy" if reasons else "healthy", reasons)

    async def ready(self, request: Request) -> Response:
        """Readiness."""
        view = self._view
        reasons = not_ready_reasons(view.board.stage, view.pool_states())
        return _probe_response("not ready" if reasons else "ready", reasons)

    async def version(self, request: Request) -> Response:
        """The version, the uptime, of an image its build, whether it is compiled, and the interpreter."""
        uptime_s = time.time() - self._view.started_at
        here = Interpreter.here()
        document: dict[str, Any] = {"name": "balance", "version": VERSION, "python": here.version}
        document |= {"uptime": duration(uptime_s), "build": BuildDetails.of(os.environ)._asdict()}
        return reply(document | {"compiled": here.is_compiled, "interpreter": here.document()})

    async def status(self, request: Request) -> Response:
        """The overview."""
        return reply(status(self._view, time.time(), time.monotonic_ns() // 1000))

    async def backends(self, request: Request) -> Response:
        """Every backend."""
        return reply(backends(self._view, time.time(), time.monotonic_ns() // 1000))

    async def backend(self, request: Request) -> Response:
        """One backend."""
        backend_view = find_backend(self._view, request.path_params["name"])
        totals = Totals(self._view.board.rows)
        document = backend(backend_view, self._view, totals, time.time(), time.monotonic_ns() // 1000)
        tag = f'"{version(backend_view.backend, backend_view.state)}"'
        return reply({"pool": backend_view.pool.name} | document, headers={"ETag": tag})

    async def sessions(self, request: Request) -> Response:
        """How sessions are kept, or one of them."""
        wanted = request.query_params.get("id")
        if wanted is None:
            return reply(sessions(self._view))
        return reply({"session": await session(self._view, wanted)})

    async def pools(self, request: Request) -> Response:
        """Every pool with its backends."""
        return reply({"pools": pools(self._view, time.time(), time.monotonic_ns() // 1000)})

    async def routes(self, request: Request) -> Response:
        """Every route."""
        return reply(routes(self._view, time.time(), time.monotonic_ns() // 1000))

    async def config(self, request: Request) -> Response:
        """The configuration, or an earlier one, with all defaults and without secrets."""
        generations = list(self._view.generations())
        if not generations:  # no history known: show the configuration that is served
            view = self._view
            generations = [GenerationInfo(view.board.generation, view.started_at, "start", view.config, is_current=True)]
        wanted = request.query_params.get("generation")
        if wanted is None:
            found = next((each for each in generations if each.is_current), generations[-1])
        else:
            for found in generations:
                if wanted == str(found.number):
                    break
            else:
                known = ", ".join(str(each.number) for each in generations)
                raise HTTPException(404, f"generation {wanted[:40]!r} is not remembered; there are {known}")
        return reply(
            _generation(found) | {"config": redacted(found.config), "generations": list(map(_generation, generations))}
        )

    async def events(self, request: Request) -> Response:
        """Events, as server-sent events or as JSON."""
        since = parse_since(request)
        if not read_flag(request, "follow", "true"):
            known = self._view.events.since(since or 0)
            return reply({"events": [{"number": each.number} | event_document(each) for each in known]})
        if request.method == "HEAD":
            return Response(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        return EventStream(self._view.events, since)

    async def metrics(self, request: Request) -> Response:
        """The metrics as text for Prometheus, or the backends as JSON."""
        format = negotiate(",".join(request.headers.getlist("accept")))
        codings = [value.encode("latin-1", "replace") for value in request.headers.getlist("accept-encoding")]
        is_compressed = accept_encoding.negotiate(codings, (b"gzip",)) == b"gzip"
        headers = {"Content-Type": format.content_type, "Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}
        if format is Format.JSON:
            return reply(backend_document(self._view), headers=headers)
        names = frozenset(request.query_params.getlist("name[]"))  # as client libraries of Prometheus have it
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        return Response(await self._exposition.text(format, is_compressed=is_compressed, names=names), headers=headers)


def _generation(info: GenerationInfo) -> dict[str, Any]:
    return {
        "generation": info.number,
        "made_at": iso_time(info.made_at),
        "origin": info.origin,
        "current": info.is_current,
        "source": info.config.source,
        "summary": info.summary or None,
    }


def _probe_response(word: str, reasons: list[str]) -> Response:
    if reasons:
        return reply({"status": word, "reasons": reasons}, 503)
    return reply({"status": word})
