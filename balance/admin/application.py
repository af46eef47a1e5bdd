"""The table of admin endpoints: path, handler, access.

Health, readiness, version and metrics carry no secret and are open to all, since kubelets and Prometheus are remote; who may
use all others is the gate's to say.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.access.gate import Access, Gate
from balance.admin.actions import Actions
from balance.admin.autoscaling.autoscaler_endpoints import AutoscalerEndpoints
from balance.admin.blocklist import Blocklist
from balance.admin.dashboard.endpoints import Dashboard
from balance.admin.endpoints import DynamicRoute, Endpoint, application
from balance.admin.json_reply import reply
from balance.admin.openapi.bodies import (
    ADD_BODY,
    BLOCKLIST_BODY,
    CHANGE_BODY,
    DRY_RUN,
    FOLLOW,
    GENERATION,
    METRIC,
    NAMED_BODY,
    NAMED_QUERY,
    RELOAD_BODY,
    SINCE,
    SWITCH_BODY,
)
from balance.admin.openapi.document import openapi
from balance.admin.read_endpoints import ReadEndpoints
from balance.admin.state_view import StateView

# Path aliases: Kubernetes' customary names, and those that existing users' probes ask for.
HEALTH_PATHS = ("/health", "/healthz", "/livez", "/liveness")
READY_PATHS = ("/ready", "/readyz", "/readiness")
METRICS_PATHS = ("/metrics", "/prometheus")  # besides the one in the configuration


_NOT_KNOWN = {"503": "Its metric is not known now, which must not be taken for 0; `error` says why."}


def admin_app(view: StateView, is_local_only: bool) -> Starlette:
    """All endpoints, for the admin listener; `is_local_only`: it listens on loopback only."""
    read_endpoints = ReadEndpoints(view)
    gate = Gate(view, is_local_only)
    dashboard = Dashboard(view, gate)
    endpoints = [*_table(read_endpoints, Actions(view), Blocklist(view), AutoscalerEndpoints(view)), *dashboard.endpoints()]

    async def openapi_document(request: Request) -> Response:
        return reply(document)

    endpoints.append(Endpoint("GET", "/openapi.json", openapi_document, Access.READ, "This document."))
    document = openapi([*endpoints, _described_metrics(read_endpoints)])
    app = application(endpoints, _metrics(view, read_endpoints), view.events, gate)
    app.state.end_streams = dashboard.close
    return app


def metrics_app(view: StateView) -> Starlette:
    """Metrics and probes only, for a listener that others may reach."""
    read_endpoints = ReadEndpoints(view)
    return application(_probes(read_endpoints), _metrics(view, read_endpoints), view.events)


def _described_metrics(read_endpoints: ReadEndpoints) -> Endpoint:
    """For the document: where they are is the configuration's to say (metrics.path), besides these."""
    return Endpoint(
        "GET", METRICS_PATHS[0], read_endpoints.metrics, Access.OPEN,
        "The figures, for Prometheus; as JSON, the backends alone. At metrics.path as well.",
        produces=("text/plain", "application/openmetrics-text", "application/json"), aliases=METRICS_PATHS[1:],
        also={"404": "There are none: metrics.enabled is false."},
    )  # fmt: skip


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
            is_probe=True,
            also={"503": "No; the reasons are in the body."},
        ),
        Endpoint(
            "GET",
            READY_PATHS[0],
            read_endpoints.ready,
            anybody,
            "Whether traffic should be sent here.",
            aliases=READY_PATHS[1:],
            is_probe=True,
            also={"503": "No; the reasons are in the body."},
        ),
    ]


def _table(
    read_endpoints: ReadEndpoints, actions: Actions, blocklist: Blocklist, autoscalers: AutoscalerEndpoints
) -> list[Endpoint]:
    anybody, read, write = Access.OPEN, Access.READ, Access.WRITE
    return [
        *_probes(read_endpoints),
        Endpoint("GET", "/version", read_endpoints.version, anybody, "What runs here, compiled or not, and since when."),
        Endpoint("GET", "/status", read_endpoints.status, read, "All at a glance."),
        Endpoint("GET", "/pools", read_endpoints.pools, read, "Every pool with its backends."),
        Endpoint(
            "GET", "/sessions", read_endpoints.sessions, read, "How sessions are kept, and how many began where.",
            {"id": "The id of a session in Redis, as in its cookie: where it leads instead."},
            also={"404": "No session has that id.", "503": "Redis can't be asked."},
        ),
        Endpoint("GET", "/backends", read_endpoints.backends, read, "How every backend stands, and why."),
        Endpoint("GET", "/backends/{name}", read_endpoints.backend, read, "How one backend stands, and why."),
        Endpoint("GET", "/routes", read_endpoints.routes, read, "Every route in its order, and how often it was taken."),
        Endpoint(
            "POST", "/backends", actions.add, write, "Add a backend.", DRY_RUN, ADD_BODY, needs_body=True, can_be_refused=True
        ),
        Endpoint(
            "DELETE", "/backends", actions.remove_named, write, "Take away the backend of that address or name.",
            NAMED_QUERY | DRY_RUN, NAMED_BODY, can_be_refused=True, version_of="backends.*.version",
            also={"404": "There is no such one."},
        ),
        Endpoint(
            "PATCH", "/backends/{name}", actions.change, write, "Change a backend, drain it, take it out or put it back.",
            DRY_RUN, CHANGE_BODY, needs_body=True, can_be_refused=True, version_of="backends.*.version",
        ),
        Endpoint(
            "DELETE", "/backends/{name}", actions.remove, write, "Take a backend away; what is under way there may end.",
            DRY_RUN, can_be_refused=True, version_of="backends.*.version",
        ),
        Endpoint(
            "POST", "/policy/{route}/switch", actions.switch, write, "Switch a blue-green route to its other side, at once.",
            DRY_RUN, SWITCH_BODY, can_be_refused=True, version_of="routes.*.switch.version",
        ),
        Endpoint("GET", "/autoscaler", autoscalers.all, read, "What each autoscaler does or would do, and why."),
        Endpoint(
            "GET", "/autoscaler/{pool}", autoscalers.one, read,
            "A pool's; 503 while its metric is not known. KEDA's metrics-api scaler reads it.",
            also=_NOT_KNOWN,
        ),
        Endpoint(
            "GET", "/autoscaler/{pool}/external-metric", autoscalers.external_metric, read,
            "A number of it as an ExternalMetricValueList, as a HorizontalPodAutoscaler reads it.",
            {"metric": METRIC}, also=_NOT_KNOWN,
        ),
        Endpoint("GET", "/blocklist", blocklist.show, read, "Who is blocked at run time, and the access lists."),
        Endpoint(
            "POST", "/blocklist", blocklist.change, write, "Block addresses and networks at run time, or end that.",
            body=BLOCKLIST_BODY, needs_body=True,
            also={"404": "It is not blocked at run time.", "409": "No room for more."},
        ),
        Endpoint(
            "GET", "/config", read_endpoints.config, read, "The configuration that is served, every default filled in.",
            {"generation": GENERATION},
        ),
        Endpoint(
            "POST", "/reload", actions.reload, write, "Read the file again.", DRY_RUN, RELOAD_BODY, can_be_refused=True,
            version_of="instance.generation",
        ),
        Endpoint(
            "POST", "/diff", actions.diff, write, "What a reload with the configuration in the body would change.",
            body={"type": "string", "minLength": 1}, needs_body=True, media_type="application/yaml", can_be_refused=True,
        ),
        Endpoint("POST", "/restart", actions.restart, write, "Replace the workers one by one.", can_be_refused=True),
        Endpoint(
            "POST", "/upgrade", actions.upgrade, write, "Hand over to the program that is installed now.", can_be_refused=True
        ),
        Endpoint("POST", "/drain", actions.drain, write, "Drain the whole instance and end it.", can_be_refused=True),
        Endpoint(
            "GET", "/events", read_endpoints.events, read, "What happens, as it happens (server-sent events).",
            {"since": SINCE, "follow": FOLLOW}, produces=("text/event-stream", "application/json"),
            also={"503": "Too many read them already."},
        ),
    ]  # fmt: skip
