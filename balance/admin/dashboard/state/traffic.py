"""What goes through: totals, how requests ended, listeners, routes, rate limits, and the flows of the picture."""

from __future__ import annotations

from typing import Any

from balance.admin.dashboard.state.moment import Moment, percentiles
from balance.admin.dashboard.state.recorder import moved, time_buckets
from balance.admin.routes import action_text, condition_text, match_text, policy_names, rule_action_text
from balance.config.model import Config, ListenerConfig
from balance.config.route_model import RouteConfig
from balance.config.route_order import in_order
from balance.model import Mode, Why
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, NOBODY, route_key, rule_key
from balance.tls.pem_loading import TlsError, expires_at

Section = dict[str, Any]
Flows = dict[str, dict[str, int]]
REFUSED = (counters.REFUSED_BLOCKED, counters.REFUSED_COUNT, counters.REFUSED_RATE, counters.REFUSED_PROXY_HEADER)
UNCONCERNED = frozenset([Why.OK])  # no problem of anybody


def totals(moment: Moment) -> Section:
    """Of the whole instance, within the last tick; percentiles within the window."""
    reading, tick, window = moment.reading, moment.tick.reading, moment.window.reading
    tcp = sum(reading.column(counters.TCP_SESSIONS))
    tcp_before = sum(tick.column(counters.TCP_SESSIONS))
    in_total, out_total = moved(reading.head)
    in_before, out_before = moved(tick.head)
    retries, retries_before = sum(reading.column(counters.RETRIES)), sum(tick.column(counters.RETRIES))
    ended = moment.statuses
    return {
        "requests": moment.per_second(sum(ended.values()), moment.tick),
        "errors_4xx": moment.per_second(sum(n for status, n in ended.items() if 400 <= status < 500), moment.tick),
        "errors_5xx": moment.per_second(sum(n for status, n in ended.items() if status >= 500), moment.tick),
        "statuses": {str(status): moment.per_second(n, moment.tick) for status, n in sorted(ended.items())},
        "sessions": moment.per_second(tcp - tcp_before, moment.tick),
        "connections": moment.per_second(moment.moved(counters.CONNECTIONS), moment.tick),
        **percentiles(time_buckets(window, reading), moment.bounds_us, 0.5, 0.9, 0.99),
        "active_requests": moment.cell(counters.EXCHANGES_OPEN),
        "active_connections": moment.cell(counters.CONNECTIONS_OPEN),
        "waiting": sum(reading.column(counters.WAITING)),
        "bytes_in": moment.per_second(in_total - in_before, moment.tick),
        "bytes_out": moment.per_second(out_total - out_before, moment.tick),
        "retries": moment.per_second(retries - retries_before, moment.tick),
        "requests_total": sum(moment.sample.series.values()),
        "sessions_total": tcp,
        "connections_total": moment.cell(counters.CONNECTIONS),
        "bytes_in_total": in_total,
        "bytes_out_total": out_total,
    }


def whys(moment: Moment) -> Section:
    """How requests and connections ended that did not end well."""
    found = {}
    for why in Why:
        total = moment.cell(counters.WHY + why)
        if total and why not in UNCONCERNED:
            before = moment.window.reading.head[counters.WHY + why]
            found[why.word] = {"rate": moment.per_second(total - before, moment.window), "total": total}
    return found


class TrafficSections:
    """Listeners, routes, limits and flows. What the configuration says of them is made once for each."""

    def __init__(self) -> None:
        self._config: Config | None = None
        self._listeners: dict[str, tuple[ListenerConfig, Section]] = {}
        self._routes: dict[str, tuple[ListenerConfig, RouteConfig, Section]] = {}
        self._names: dict[int, str] = {}  # pool/backend by slot
        self._sources: dict[int, str] = {}  # listener/route by the route's slot
        # listener/ of those without routes, by pool: where several share one, the first stands for all.
        self._owners: dict[str, str] = {}
        self._tcp_owners: dict[str, str] = {}
        self._only = ""  # where there is one listener of HTTP: whose the requests are that no backend got

    def follow(self, moment: Moment) -> None:
        """Take over another configuration."""
        view = moment.view
        if self._config is view.config:
            return
        self._config = config = view.config
        self._listeners = {}
        self._routes = {}
        self._sources, self._owners, self._tcp_owners = {}, {}, {}
        self._names = {NOBODY: "-"}
        for pool in config.pools:
            for backend in pool.backends:
                self._names[view.slots[pool.name, backend.name]] = f"{pool.name}/{backend.name}"
        for order, listener in enumerate(config.listeners):
            section: Section = {
                "order": order,
                "mode": listener.mode.value,
                "listen": ", ".join(str(address) for name, address in view.listening if name == listener.name),
                "tls": listener.tls.enabled,
                "routes": len(listener.http.routes),
            }
            if listener.pool:
                section["pool"] = listener.pool
            if listener.max_clients:
                section["max_clients"] = listener.max_clients
            if listener.tls.enabled and (ends := _first_end(listener)) is not None:
                section["tls_ends_at"] = ends
            self._listeners[listener.name] = listener, section
            if listener.mode is Mode.HTTP:
                for place, route in enumerate(in_order(listener.http.routes), start=1):
                    self._routes[f"{listener.name}/{route.name}"] = listener, route, _route(listener, route, place, moment.now)
                    self._sources[view.slots.get(route_key(listener.name, route.name), NOBODY)] = (
                        f"{listener.name}/{route.name}"
                    )
        without_routes = [each for each in config.listeners if not each.http.routes or each.mode is not Mode.HTTP]
        http = [each for each in config.listeners if each.mode is Mode.HTTP]
        self._only = f"{http[0].name}/" if len(http) == 1 else ""
        for listener in reversed(without_routes):
            for name in listener.pools:
                self._owners[name] = f"{listener.name}/"
                if listener.mode is Mode.TCP:
                    self._tcp_owners[name] = f"{listener.name}/"

    def listeners(self, moment: Moment, flows: Flows) -> Section:
        """By name."""
        found = {}
        came: dict[str, int] = {}
        for source, targets in flows.items():
            listener_name = source.partition("/")[0]
            came[listener_name] = came.get(listener_name, 0) + sum(targets.values())
        for name, (_, static) in self._listeners.items():
            slot = moment.view.slots.get((LISTENER, name), NOBODY)
            block, window = moment.reading.block(slot), moment.window.reading.block(slot)
            refused = sum(block[cell] for cell in REFUSED) if slot else 0
            refused_before = sum(window[cell] for cell in REFUSED) if slot else 0
            found[name] = static | {
                "clients": block[counters.ACTIVE] if slot else 0,
                "rate": moment.per_second(came.get(name, 0), moment.window),
                "refused": moment.per_second(refused - refused_before, moment.window),
                "refused_total": refused,
            }
        return found

    def flows(self, moment: Moment) -> Flows:
        """How many requests and TCP sessions went from each listener/route to each backend within the window."""
        found: Flows = {}
        for (route, slot), count in moment.flows.items():
            to = self._names.get(slot)
            if to is None:
                continue
            if route:
                source = self._sources.get(route, "")
            else:
                source = self._owners.get(to.partition("/")[0], self._only if slot == NOBODY else "")
            if source:
                targets = found.setdefault(source, {})
                targets[to] = targets.get(to, 0) + count
        for pool, source in self._tcp_owners.items():
            self._add_sessions(moment, pool, found.setdefault(source, {}))
        return {source: targets for source, targets in found.items() if targets}

    def _add_sessions(self, moment: Moment, pool: str, targets: dict[str, int]) -> None:
        for backend in moment.view.config.pool(pool).backends:
            slot = moment.view.slots[pool, backend.name]
            before = moment.window.reading.cell(slot, counters.TCP_SESSIONS)
            count = moment.reading.cell(slot, counters.TCP_SESSIONS) - before
            if count > 0:
                targets[f"{pool}/{backend.name}"] = targets.get(f"{pool}/{backend.name}", 0) + count

    def routes(self, moment: Moment) -> Section:
        """By listener/route."""
        found = {}
        for name, (listener, route, static) in self._routes.items():
            slot = moment.view.slots.get(route_key(listener.name, route.name), NOBODY)
            section = static | _hits(moment, slot)
            if slot:
                block, window = moment.reading.block(slot), moment.window.reading.block(slot)
                section["rate"] = moment.per_second(block[counters.ROUTE_HITS] - window[counters.ROUTE_HITS], moment.window)
                section["errors_5xx"] = moment.per_second(moment.route_errors.get(slot, 0), moment.window)
                if route.policy.mirror is not None:
                    section["mirrored_total"] = block[counters.ROUTE_MIRRORED]
                    section["mirror_dropped_total"] = block[counters.ROUTE_MIRROR_DROPPED]
            section["rules"] = {
                rule: fixed | _hits(moment, moment.view.slots.get(rule_key(listener.name, route.name, rule), NOBODY))
                for rule, fixed in static["rules"].items()
            }
            found[name] = section
        return found

    def rate_limits(self, moment: Moment) -> Section:
        """By listener/route, or listener/ where it has no routes."""
        found = {}
        for name, (listener, _) in self._listeners.items():
            if listener.rate_limit.enabled and listener.mode is Mode.HTTP and not listener.http.routes:  # TCP has none
                found[f"{name}/"] = _limit(moment, moment.view.slots.get((LISTENER, name), NOBODY), listener.rate_limit.key)
        for name, (listener, route, _) in self._routes.items():
            if route.rate_limit.enabled:
                slot = moment.view.slots.get(route_key(listener.name, route.name), NOBODY)
                found[name] = _limit(moment, slot, route.rate_limit.key)
        return found


def _first_end(listener: ListenerConfig) -> float | None:
    try:
        return min(expires_at(certificate.cert_file) for certificate in listener.tls.certificates)
    except (TlsError, ValueError):
        return None


def _route(listener: ListenerConfig, route: RouteConfig, order: int, now: float) -> Section:
    section: Section = {
        "listener": listener.name,
        "name": route.name,
        "order": order,
        "match": match_text(route.match),
        "action": action_text(route),
        "pools": ", ".join(dict.fromkeys(use.pool for use in route.uses)),
        "policies": ", ".join(policy_names(route, now)),
        "rules": {
            rule.name: {"order": place, "when": condition_text(rule.when), "action": rule_action_text(rule)}
            for place, rule in enumerate(sorted(route.policy.rules, key=lambda rule: -rule.priority), start=1)
        },
    }
    sides = route.policy.blue_green
    if sides is not None:
        section["switch"] = {"active": sides.active, "blue": sides.blue, "green": sides.green, "version": sides.active}
    return section


def _hits(moment: Moment, slot: int) -> Section:
    if not slot:
        return {"hits_total": 0}
    section: Section = {"hits_total": moment.reading.cell(slot, counters.ROUTE_HITS)}
    last_us = max((row[counters.block(slot) + counters.ROUTE_LAST_US] for row in moment.view.board.rows), default=0)
    if last_us:
        section["last_hit_at"] = round(moment.now - (moment.now_us - last_us) / 1e6)
    return section


def _limit(moment: Moment, slot: int, key: tuple[str, ...]) -> Section:
    block, window = moment.reading.block(slot), moment.window.reading.block(slot)
    refused, before = (block[counters.RATE_LIMITED], window[counters.RATE_LIMITED]) if slot else (0, 0)
    return {
        "what": f"for each {' and '.join(key)}",
        "refused": moment.per_second(refused - before, moment.window),
        "refused_total": refused,
        "reported_total": block[counters.RATE_REPORTED] if slot else 0,
    }
