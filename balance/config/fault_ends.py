"""When injected faults end whose time counts from the load on. A load of the same fault again does not put its end off."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import NamedTuple

from balance.config.model import Config, ListenerConfig
from balance.config.route_model import Fault, RouteConfig


class FaultEnd(NamedTuple):
    """When a fault that is served ends; it counts on for the same fault in the next configuration, or the next instance."""

    listener: str
    route: str
    basis: str  # what the fault was: another one has its whole time
    ends_s: float  # since the epoch


def fault_ends(config: Config) -> list[FaultEnd]:
    """The ends of the faults of a configuration that is served, where their time counts from the load on."""
    return [
        FaultEnd(listener.name, route.name, _basis(route.policy.fault), route.policy.fault.ends_s)
        for listener in config.listeners
        for route in listener.http.routes
        if route.policy.fault is not None and route.policy.fault.is_until_relative and route.policy.fault.ends_s
    ]


def with_fault_ends(config: Config, before: Iterable[FaultEnd], now_s: float) -> Config:
    """The configuration with the end of every fault. `before` are the fault_ends() of the one that was served until `now_s`,
    seconds since the epoch.
    """
    if not any(_is_relative(route) for listener in config.listeners for route in listener.http.routes):
        return config
    known = {(end.listener, end.route, end.basis): end.ends_s for end in before}
    return replace(config, listeners=tuple(_with_ends(listener, known, now_s) for listener in config.listeners))


def fault_end_s(fault: Fault) -> float:
    """When it ends, in seconds since the epoch; 0 while that is not known, because nobody serves it yet."""
    return fault.ends_s if fault.is_until_relative else fault.until_s


def utc_text(epoch_s: float) -> str:
    """A time as it may stand in the file."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def _is_relative(route: RouteConfig) -> bool:
    return route.policy.fault is not None and route.policy.fault.is_until_relative


def _basis(fault: Fault) -> str:
    """What is given, without defaults: a version that knows more keys reads the same fault in the same file."""
    given = asdict(fault)
    return json.dumps(
        {key.name: given[key.name] for key in fields(fault) if key.name != "ends_s" and given[key.name] != key.default}
    )


def _with_ends(listener: ListenerConfig, known: dict[tuple[str, str, str], float], now_s: float) -> ListenerConfig:
    routes = listener.http.routes
    if not any(_is_relative(route) for route in routes):
        return listener
    ended = []
    for route in routes:
        fault = route.policy.fault
        if fault is not None and fault.is_until_relative:
            ends_s = known.get((listener.name, route.name, _basis(fault)), now_s + fault.until_s)
            route = replace(route, policy=replace(route.policy, fault=replace(fault, ends_s=ends_s)))
        ended.append(route)
    return replace(listener, http=replace(listener.http, routes=tuple(ended)))
