"""The whole document of the instance's state. No null is in it: what is unknown is absent, as a merge patch needs it."""

from __future__ import annotations

from typing import Any

from balance.admin.dashboard.state.backends import BackendRows
from balance.admin.dashboard.state.instance import InstanceSections
from balance.admin.dashboard.state.moment import Moment
from balance.admin.dashboard.state.past import Past
from balance.admin.dashboard.state.pools import pools
from balance.admin.dashboard.state.surroundings import Certificates, features, keys, redis
from balance.admin.dashboard.state.traffic import TrafficSections, totals, whys
from balance.admin.state_view import StateView
from balance.config.model import Config

SCHEMA = 1


class StateDocument:
    """Makes the document again and again."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._instance = InstanceSections()
        self._backends = BackendRows()
        self._traffic = TrafficSections()
        self._certificates = Certificates()
        self._past = Past()
        self._features: tuple[Config, dict[str, Any]] | None = None

    def make(self, now: float, mono: float, *, streams: int = 0, sessions: int = 0, in_turns: bool = False) -> dict[str, Any]:
        """The document of now. `now` is wall clock time, `mono` monotonic, in seconds; `in_turns` as in BackendRows.rows()."""
        view = self._view
        moment = Moment(view, view.traffic.take(now, mono))
        self._traffic.follow(moment)
        if self._features is None or self._features[0] is not view.config:
            self._features = view.config, features(view.config)
        flows = self._traffic.flows(moment)
        rows = self._backends.rows(moment, in_turns=in_turns)
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "at": round(now, 2),
            "instance": self._instance.instance(moment),
            "workers": self._instance.workers(moment),
            "control": self._instance.control(moment, streams, sessions),
            "totals": totals(moment),
            "whys": whys(moment),
            "listeners": self._traffic.listeners(moment, flows),
            "routes": self._traffic.routes(moment),
            "flows": {
                source: {to: moment.per_second(count, moment.window) for to, count in targets.items()}
                for source, targets in flows.items()
            },
            "pools": pools(moment, rows),
            "backends": rows,
            "certificates": self._certificates.section(moment),
            "rate_limits": self._traffic.rate_limits(moment),
            "reloads": self._past.reloads(moment),
            "events": self._past.events(moment),
            "features": self._features[1],
        }
        if found := redis(moment):
            document["redis"] = found
        if found := keys(moment):
            document["keys"] = found
        return document
