"""When injected faults end whose time counts from the load on. A load of the same fault again does not put its end off."""

from __future__ import annotations

from dataclasses import replace

from balance.config.model import Config, ListenerConfig
from balance.config.route_model import Fault, RouteConfig


def with_fault_ends(config: Config, previous: Config | None, now_s: float) -> Config:
    """The configuration with the end of every fault. `previous` is the one served until `now_s`, seconds since the epoch."""
    known = {} if previous is None else {place: fault for listener in previous.listeners for place, fault in _faults(listener)}
    if not any(_is_relative(route) for listener in config.listeners for route in listener.http.routes):
        return config
    return replace(config, listeners=tuple(_with_ends(listener, known, now_s) for listener in config.listeners))


def fault_end_s(fault: Fault) -> float:
    """When it ends, in seconds since the epoch; 0 while that is not known, because nobody serves it yet."""
    return fault.ends_s if fault.is_until_relative else fault.until_s


def _is_relative(route: RouteConfig) -> bool:
    return route.policy.fault is not None and route.policy.fault.is_until_relative


def _faults(listener: ListenerConfig) -> list[tuple[tuple[str, str], Fault]]:
    return [
        ((listener.name, route.name), route.policy.fault) for route in listener.http.routes if route.policy.fault is not None
    ]


def _with_ends(listener: ListenerConfig, known: dict[tuple[str, str], Fault], now_s: float) -> ListenerConfig:
    routes = listener.http.routes
    if not any(_is_relative(route) for route in routes):
        return listener
    ended = []
    for route in routes:
        fault = route.policy.fault
        if fault is not None and fault.is_until_relative:
            before = known.get((listener.name, route.name))
            is_same = before is not None and replace(before, ends_s=fault.ends_s) == fault
            ends_s = before.ends_s if is_same and before is not None else now_s + fault.until_s
            route = replace(route, policy=replace(route.policy, fault=replace(fault, ends_s=ends_s)))
        ended.append(route)
    return replace(listener, http=replace(listener.http, routes=tuple(ended)))
