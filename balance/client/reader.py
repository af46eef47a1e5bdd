"""The reading half of the client: one method for each GET of the admin API."""

from __future__ import annotations

import json
import math
from typing import Any, cast
from urllib.parse import quote

from balance.client import documents
from balance.client.decoding import decode, decode_each
from balance.client.errors import BadReplyError
from balance.client.events import EventStream, Message
from balance.client.state import History, State
from balance.client.state_stream import StateStream
from balance.client.transport import Transport, backend_path, operation


class Reader(Transport):
    """Methods that change nothing."""

    @operation("GET /health", "GET /healthz", "GET /livez", "GET /liveness")
    def health(self) -> documents.Probe:
        """Whether it should be left running. No exception for an instance that should not."""
        return self._probe("/health")

    @operation("GET /ready", "GET /readyz", "GET /readiness")
    def ready(self) -> documents.Probe:
        """Whether traffic should be sent there. No exception for an instance that is not ready."""
        return self._probe("/ready")

    def _probe(self, path: str) -> documents.Probe:
        status, document = self.get_any(path)
        if "status" not in document:
            raise self._refusal(status, document)
        return decode(documents.Probe, {"is_ok": status == 200} | document, path)

    @operation("GET /version")
    def version(self) -> documents.Version:
        """What runs there, and since when."""
        return decode(documents.Version, self.get("/version", expected="version"), "/version")

    @operation("GET /status")
    def status(self) -> documents.Status:
        """All at a glance: processes, listeners, pools with their backends."""
        document = self.get("/status", expected="stage")
        return decode(documents.Status, document | {"pools": _with_pool_names(document.get("pools"))}, "/status", document)

    @operation("GET /pools")
    def pools(self) -> tuple[documents.Pool, ...]:
        """Every pool with its backends."""
        document = self.get("/pools", expected="pools")
        return decode_each(documents.Pool, _with_pool_names(document["pools"]), "/pools")

    @operation("GET /backends")
    def backends(self) -> tuple[documents.Backend, ...]:
        """How every backend stands, and why."""
        return decode_each(documents.Backend, self.get("/backends", expected="backends")["backends"], "/backends")

    @operation("GET /backends/{name}")
    def backend(self, name: str) -> documents.Backend:
        """How one stands, by its name or pool/name."""
        document, version = self.get_with_version(backend_path(name), expected="drained")
        return decode(documents.Backend, document | {"version": version}, "/backends", document)

    @operation("GET /routes")
    def routes(self) -> tuple[documents.Route, ...]:
        """Every route in the order in which they are tried, and how often each was taken."""
        return decode_each(documents.Route, self.get("/routes", expected="routes")["routes"], "/routes")

    @operation("GET /sessions")
    def sessions(self) -> documents.Sessions:
        """How each pool keeps sessions, and how many began where."""
        return decode(documents.Sessions, self.get("/sessions", expected="pools"), "/sessions")

    def session(self, id: str) -> documents.Session:
        """Where a session in Redis leads, by the id in its cookie."""
        document = self.get("/sessions", {"id": id}, expected="session")
        return decode(documents.Session, document["session"], "/sessions")

    @operation("GET /autoscaler")
    def autoscalers(self) -> tuple[documents.Autoscaler, ...]:
        """What each autoscaler does or would do, and why."""
        return decode_each(documents.Autoscaler, self.get("/autoscaler", expected="pools")["pools"], "/autoscaler")

    @operation("GET /autoscaler/{pool}")
    def autoscaler(self, pool: str) -> documents.Autoscaler:
        """That of one pool, also while its metric is not known."""
        status, document = self.get_any(f"/autoscaler/{quote(pool, safe='')}")
        if "pool" not in document:
            raise self._refusal(status, document)
        return decode(documents.Autoscaler, document, "/autoscaler")

    @operation("GET /autoscaler/{pool}/external-metric")
    def external_metric(self, pool: str, metric: str = "value") -> dict[str, Any]:
        """A number of it as Kubernetes reads it, an ExternalMetricValueList."""
        return self.get(f"/autoscaler/{quote(pool, safe='')}/external-metric", {"metric": metric}, expected="items")

    @operation("GET /blocklist")
    def blocklist(self) -> documents.Blocklist:
        """Who is blocked at run time and how long yet, and the access lists of each listener."""
        return decode(documents.Blocklist, self.get("/blocklist", expected="blocked"), "/blocklist")

    @operation("GET /config")
    def config(self, generation: int | None = None) -> documents.Configuration:
        """The configuration that is served, or that of an earlier generation, without secrets."""
        query = None if generation is None else {"generation": str(generation)}
        return decode(documents.Configuration, self.get("/config", query, expected="generations"), "/config")

    @operation("GET /events")
    def events(
        self, since: int | None = None, *, reconnect: bool = True, patience_s: float = math.inf
    ) -> EventStream[documents.Event]:
        """What happens from now on, or after event number `since` (0: all that is remembered), as it happens.

        An iterator, and a context manager. It connects again when contact is lost and goes on after the last event that came,
        for as long as `patience_s`; then, or without `reconnect` when the first connection ends, it is over.
        """
        last_id = "" if since is None else str(since)
        return EventStream(
            lambda last: self.open_stream("/events", last), _event, last_id, reconnect=reconnect, patience_s=patience_s
        )

    def past_events(self, since: int = 0) -> tuple[documents.Event, ...]:
        """What is remembered after event number `since`."""
        document = self.get("/events", {"follow": "false", "since": str(since)}, expected="events")
        if not isinstance(document["events"], list):
            raise BadReplyError("/events: a list of events should be there")
        return tuple(event_of(each, "/events") for each in document["events"])

    @operation("GET /dashboard/state")
    def state(self) -> State:
        """All that the dashboard shows, at one moment: rates, percentiles, shares, why backends are out."""
        return cast(State, self.get("/dashboard/state", expected="backends"))

    @operation("GET /dashboard/history")
    def history(self) -> History:
        """The totals of the last ten minutes, as columns."""
        return cast(History, self.get("/dashboard/history", expected="at"))

    @operation("GET /dashboard/stream")
    def watch(self, *, reconnect: bool = True, patience_s: float = math.inf) -> StateStream:
        """The state, about once a second. It connects again as `events` does; BusyError where too many look already."""
        messages = EventStream(
            lambda last: self.open_stream("/dashboard/stream", last), _as_it_is, reconnect=reconnect, patience_s=patience_s
        )
        return StateStream(messages)

    @operation("GET /metrics")
    def metrics(self, accept: str = "text/plain") -> str:
        """The figures, as Prometheus reads them; `accept` chooses the format."""
        return self.get_text("/metrics", accept)

    @operation("GET /openapi.json")
    def openapi(self) -> dict[str, Any]:
        """The description of the whole API."""
        return self.get("/openapi.json", expected="openapi")


def _with_pool_names(pools: Any) -> Any:
    """Backends within a pool do not say which it is."""
    if not isinstance(pools, list):
        return pools
    return [
        each | {"backends": [inner | {"pool": each.get("name")} for inner in each["backends"] if isinstance(inner, dict)]}
        if isinstance(each, dict) and isinstance(each.get("backends"), list)
        else each
        for each in pools
    ]


def event_of(value: Any, where: str) -> documents.Event:
    """An event of JSON that has its number."""
    known = ("number", "at", "kind", "text")
    fields = {key: each for key, each in value.items() if key not in known} if isinstance(value, dict) else {}
    return decode(documents.Event, value | {"fields": fields} if isinstance(value, dict) else value, where, value)


def _as_it_is(message: Message) -> Message:
    return message


def _event(message: Message) -> documents.Event:
    try:
        value = json.loads(message.data)
        number = int(message.id)
    except (ValueError, RecursionError):
        raise BadReplyError("/events: an event is not JSON with a number") from None
    return event_of({"number": number} | value if isinstance(value, dict) else value, "/events")
