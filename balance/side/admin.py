"""The side doors: which door is where, and who may use it. What a page shows and what an order does is elsewhere.

Health, readiness, version and metrics carry no secret and answer everywhere, since kubelets and Prometheus come from
elsewhere; what names addresses is for this machine only, as orders are.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from balance.side.doors import Access, Door, Page, application
from balance.side.inside import Inside
from balance.side.levers import Levers
from balance.side.openapi import openapi
from balance.side.pages import Pages
from balance.side.replies import reply

# Path aliases: Kubernetes' customary names, and those that existing users' probes ask for.
HEALTH_PATHS = ("/health", "/healthz", "/livez", "/liveness")
READY_PATHS = ("/ready", "/readyz", "/readiness")
METRICS_PATHS = ("/metrics", "/prometheus")  # besides the one in the configuration

DRY_RUN = {"dry_run": "true: say what would change, and change nothing."}
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


def admin_app(inside: Inside, is_inward: bool) -> Starlette:
    """Everything, for an admin listener; `is_inward` when only this machine can connect to it."""
    pages = Pages(inside)
    doors = _table(pages, Levers(inside))

    async def described(request: Request) -> Response:
        return reply(document)

    doors.append(Door("GET", "/openapi.json", described, Access.ANYWHERE, "This document."))
    document = openapi([*doors, Door("GET", "/metrics", pages.metrics, Access.ANYWHERE, "The figures, for Prometheus.")])
    return application(doors, _metrics(inside, pages), is_inward)


def metrics_app(inside: Inside) -> Starlette:
    """The metrics, and what probes ask for, for a listener that others may reach."""
    pages = Pages(inside)
    return application(_probes(pages), _metrics(inside, pages))


def _metrics(inside: Inside, pages: Pages) -> Page:
    def paths() -> tuple[str, ...]:
        metrics = inside.config.metrics
        return (metrics.path, *METRICS_PATHS) if metrics.enabled else ()

    return Page(paths, pages.metrics)


def _probes(pages: Pages) -> list[Door]:
    anywhere = Access.ANYWHERE
    return [
        Door("GET", HEALTH_PATHS[0], pages.health, anywhere, "Whether it should be left running.", aliases=HEALTH_PATHS[1:]),
        Door("GET", READY_PATHS[0], pages.ready, anywhere, "Whether traffic should be sent here.", aliases=READY_PATHS[1:]),
    ]


def _table(pages: Pages, levers: Levers) -> list[Door]:
    anywhere, local, order = Access.ANYWHERE, Access.LOCAL, Access.ORDER
    return [
        *_probes(pages),
        Door("GET", "/version", pages.version, anywhere, "What runs here, and since when."),
        Door("GET", "/status", pages.status, local, "All at a glance."),
        Door("GET", "/pools", pages.pools, local, "Every pool with its backends."),
        Door("GET", "/backends", pages.backends, local, "How every backend stands, and why."),
        Door("GET", "/backends/{name}", pages.backend, local, "How one backend stands, and why."),
        Door("POST", "/backends", levers.add, order, "Add a backend.", DRY_RUN, ADD_BODY, can_be_refused=True),
        Door(
            "PATCH", "/backends/{name}", levers.change, order, "Change a backend, drain it, take it out or put it back.",
            DRY_RUN, CHANGE_BODY, can_be_refused=True,
        ),
        Door(
            "DELETE", "/backends/{name}", levers.remove, order, "Take a backend away; what is under way there may end.",
            DRY_RUN, can_be_refused=True,
        ),
        Door(
            "GET", "/config", pages.config, local, "The configuration that is served, every default filled in.",
            {"generation": "The number of an earlier one."},
        ),
        Door("POST", "/reload", levers.reload, order, "Read the file again.", DRY_RUN, RELOAD_BODY, can_be_refused=True),
        Door(
            "POST", "/diff", levers.diff, order, "What a reload with the configuration in the body would change.",
            body={"type": "string"}, media_type="application/yaml", can_be_refused=True,
        ),
        Door("POST", "/restart", levers.restart, order, "Replace the workers one by one.", can_be_refused=True),
        Door("POST", "/upgrade", levers.upgrade, order, "Hand over to the program that is installed now.", can_be_refused=True),
        Door("POST", "/drain", levers.drain, order, "Drain the whole instance and end it.", can_be_refused=True),
        Door(
            "GET", "/events", pages.events, local, "What happens, as it happens (server-sent events).",
            {
                "since": "The number of an event: what came after it comes first.",
                "follow": "false: what is remembered as JSON, and no stream.",
            },
        ),
    ]  # fmt: skip
