"""The table of admin endpoints: path, handler, access.

Health, readiness, version and metrics carry no secret and are open to all, since kubelets and Prometheus are remote; who may
use all others is the gate's to say.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.access.gate import Access, Gate
from balance.admin.actions import Actions
from balance.admin.blocklist import Blocklist
from balance.admin.dashboard.endpoints import Dashboard
from balance.admin.endpoints import DynamicRoute, Endpoint, application
from balance.admin.json_reply import reply
from balance.admin.openapi import openapi
from balance.admin.read_endpoints import ReadEndpoints
from balance.admin.state_view import StateView

# Path aliases: Kubernetes' customary names, and those that existing users' probes ask for.
HEALTH_PATHS = ("/health", "/healthz", "/livez", "/liveness")
READY_PATHS = ("/ready", "/readyz", "/readiness")
METRICS_PATHS = ("/metrics", "/prometheus")  # besides the one in the configuration

DRY_RUN = {"dry_run": "true: say what would change (`preview`, in sentences), and change nothing."}
FLAG: dict[str, Any] = {"type": "boolean", "default": False}
RELOAD_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "rollback": {
            "description": "Instead of reading the file, go back: true, to the last configuration that differs from the one "
            "that is served; a number, to that generation.",
            "anyOf": [FLAG, {"type": "integer", "minimum": 1}],
        },
        "discard_changes": FLAG | {"description": "Forget what was changed at run time."},
    },
    "additionalProperties": False,
}
_VALUES: dict[str, Any] = {
    "weight": {"type": "integer", "minimum": 0},
    "max_connections": {"type": "integer", "minimum": 0},
    "backup": {"type": "boolean"},
    "region": {"type": "string"},
    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
}
ADD_BODY: dict[str, Any] = {
    "type": "object",
    "description": "A backend as in a configuration file, and the pool that it belongs to.",
    "properties": {"pool": {"type": "string"}, "name": {"type": "string"}, "address": {"type": "string"}} | _VALUES,
    "required": ["name", "address"],
}
CHANGE_BODY: dict[str, Any] = {
    "type": "object",
    "description": "A new state, new values of a backend's keys as a configuration file has them, or both.",
    "properties": {"state": {"enum": ["drain", "maintenance", "enable"]}, "address": {"type": "string"}} | _VALUES,
    "minProperties": 1,
}


_ADDRESSES: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
BLOCKLIST_BODY: dict[str, Any] = {
    "type": "object",
    "description": "Addresses and networks.",
    "properties": {
        "add": _ADDRESSES | {"description": "Blocked from now on; what is blocked already gets a new end."},
        "for": {"type": "string", "description": "How long, like 10m. Without it: until they are removed."},
        "remove": _ADDRESSES | {"description": "Not blocked at run time any more."},
    },
    "additionalProperties": False,
}
SWITCH_BODY: dict[str, Any] = {
    "type": "object",
    "description": "Which side, if not the other one.",
    "properties": {
        "to": {"enum": ["blue", "green"]},
        "listener": {"type": "string", "description": "The listener, where several have a route of that name."},
        "force": FLAG | {"description": "Switch although no backend of that side's pool is ready."},
    },
    "additionalProperties": False,
}


def admin_app(view: StateView, is_local_only: bool) -> Starlette:
    """All endpoints, for the admin listener; `is_local_only`: it listens on loopback only."""
    read_endpoints = ReadEndpoints(view)
    gate = Gate(view, is_local_only)
    dashboard = Dashboard(view, gate)
    endpoints = [*_table(read_endpoints, Actions(view), Blocklist(view)), *dashboard.endpoints()]

    async def openapi_document(request: Request) -> Response:
        return reply(document)

    endpoints.append(Endpoint("GET", "/openapi.json", openapi_document, Access.READ, "This document."))
    document = openapi(
        [*endpoints, Endpoint("GET", "/metrics", read_endpoints.metrics, Access.OPEN, "The figures, for Prometheus.")]
    )
    app = application(endpoints, _metrics(view, read_endpoints), view.events, gate)
    app.state.end_streams = dashboard.close
    return app


def metrics_app(view: StateView) -> Starlette:
    """Metrics and probes only, for a listener that others may reach."""
    read_endpoints = ReadEndpoints(view)
    return application(_probes(read_endpoints), _metrics(view, read_endpoints), view.events)


def _metrics(view: StateView, read_endpoints: ReadEndpoints) -> DynamicRoute:
    def paths() -> tuple[str, ...]:
        metrics = view.config.metrics
        return (metrics.path, *METRICS_PATHS) if metrics.enabled else ()

    return DynamicRoute(paths, read_endpoints.metrics)


def _probes(read_endpoints: ReadEndpoints) -> list[Endpoint]:
    anybody = Access.OPEN
    return [
        Endpoint(
            "GET",
            HEALTH_PATHS[0],
            read_endpoints.health,
            anybody,
            "Whether it should be left running.",
            aliases=HEALTH_PATHS[1:],
        ),
        Endpoint(
            "GET",
            READY_PATHS[0],
            read_endpoints.ready,
            anybody,
            "Whether traffic should be sent here.",
            aliases=READY_PATHS[1:],
        ),
    ]


def _table(read_endpoints: ReadEndpoints, actions: Actions, blocklist: Blocklist) -> list[Endpoint]:
    anybody, read, write = Access.OPEN, Access.READ, Access.WRITE
    return [
        *_probes(read_endpoints),
        Endpoint("GET", "/version", read_endpoints.version, anybody, "What runs here, and since when."),
        Endpoint("GET", "/status", read_endpoints.status, read, "All at a glance."),
        Endpoint("GET", "/pools", read_endpoints.pools, read, "Every pool with its backends."),
        Endpoint(
            "GET", "/sessions", read_endpoints.sessions, read, "How sessions are kept, and how many began where.",
            {"id": "The id of a session in Redis, as in its cookie: where it leads instead."},
        ),
        Endpoint("GET", "/backends", read_endpoints.backends, read, "How every backend stands, and why."),
        Endpoint("GET", "/backends/{name}", read_endpoints.backend, read, "How one backend stands, and why."),
        Endpoint("GET", "/routes", read_endpoints.routes, read, "Every route in its order, and how often it was taken."),
        Endpoint("POST", "/backends", actions.add, write, "Add a backend.", DRY_RUN, ADD_BODY, can_be_refused=True),
        Endpoint(
            "PATCH", "/backends/{name}", actions.change, write, "Change a backend, drain it, take it out or put it back.",
            DRY_RUN, CHANGE_BODY, can_be_refused=True, version_of="backends.*.version",
        ),
        Endpoint(
            "DELETE", "/backends/{name}", actions.remove, write, "Take a backend away; what is under way there may end.",
            DRY_RUN, can_be_refused=True, version_of="backends.*.version",
        ),
        Endpoint(
            "POST", "/policy/{route}/switch", actions.switch, write, "Switch a blue-green route to its other side, at once.",
            DRY_RUN, SWITCH_BODY, can_be_refused=True, version_of="routes.*.switch.version",
        ),
        Endpoint("GET", "/blocklist", blocklist.show, read, "Who is blocked at run time, and the access lists."),
        Endpoint(
            "POST", "/blocklist", blocklist.change, write, "Block addresses and networks at run time, or end that.",
            body=BLOCKLIST_BODY,
        ),
        Endpoint(
            "GET", "/config", read_endpoints.config, read, "The configuration that is served, every default filled in.",
            {"generation": "The number of an earlier one."},
        ),
        Endpoint(
            "POST", "/reload", actions.reload, write, "Read the file again.", DRY_RUN, RELOAD_BODY, can_be_refused=True,
            version_of="instance.generation",
        ),
        Endpoint(
            "POST", "/diff", actions.diff, write, "What a reload with the configuration in the body would change.",
            body={"type": "string"}, media_type="application/yaml", can_be_refused=True,
        ),
        Endpoint("POST", "/restart", actions.restart, write, "Replace the workers one by one.", can_be_refused=True),
        Endpoint(
            "POST", "/upgrade", actions.upgrade, write, "Hand over to the program that is installed now.", can_be_refused=True
        ),
        Endpoint("POST", "/drain", actions.drain, write, "Drain the whole instance and end it.", can_be_refused=True),
        Endpoint(
            "GET", "/events", read_endpoints.events, read, "What happens, as it happens (server-sent events).",
            {
                "since": "The number of an event: what came after it comes first.",
                "follow": "false: what is remembered as JSON, and no stream.",
            },
        ),
    ]  # fmt: skip
