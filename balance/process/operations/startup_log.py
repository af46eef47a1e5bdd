"""The lines that are logged at the start: version, configuration file, listeners, pools, admin and metrics addresses."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator

from balance.build_details import BuildDetails
from balance.config.fault_ends import fault_end_s, utc_text
from balance.config.model import Config, PoolConfig
from balance.interpreter import Interpreter
from balance.model import Address
from balance.process.sockets.listen_sockets import ListenSockets
from balance.version import VERSION

MAX_WARNINGS = 50


def lines(config: Config, listen_sockets: ListenSockets, now_s: float) -> Iterator[str]:
    """The lines, in order. `now_s` is in seconds since the epoch."""
    source = f", configuration {config.source}" if config.source else ""
    build = str(BuildDetails.of(os.environ))
    yield f"balance {VERSION}{source}, {Interpreter.here()}{', ' + build if build else ''}"
    by_name = {listener.name: listener for listener in config.listeners}
    for listen_address in listen_sockets.listeners:
        listener = by_name[listen_address.listener]
        routes = len(listener.http.routes)
        to = f"{routes} route{'s' * (routes != 1)}" if routes else _pool(config.pool(listener.pool))
        yield f"listener {listener.name}: {listener.mode.value} on {listen_address.address} to {to}"
    for listen_address in listen_sockets.admin:
        yield f"admin: {url(listen_address.address, is_tls=config.admin.tls.enabled)}/status (also /health, /ready, /version)"
    if config.metrics.enabled:
        is_tls = config.admin.tls.enabled and not listen_sockets.metrics
        for listen_address in listen_sockets.metrics or listen_sockets.admin:
            yield f"metrics: {url(listen_address.address, is_tls=is_tls)}{config.metrics.path}"
    yield f"workers: {config.workers}"
    yield from faults(config, now_s)


def faults(config: Config, now_s: float) -> Iterator[str]:
    """The routes that inject faults, and until when; without those whose faults are over."""
    for listener in config.listeners:
        for route in listener.http.routes:
            fault = route.policy.fault
            end_s = fault_end_s(fault) if fault is not None else 0.0
            if fault is not None and (not end_s or now_s < end_s):
                when = f"until {utc_text(end_s)}" if end_s else f"for {fault.until_s:g} s"
                yield f"route {listener.name}/{route.name} injects faults {when}"


def limit_warnings(warnings: Iterable[str]) -> Iterator[str]:
    """The first MAX_WARNINGS warnings on a configuration, and how many there are beyond."""
    iterator = iter(warnings)
    yield from itertools.islice(iterator, MAX_WARNINGS)
    if left := sum(1 for _ in iterator):
        yield f"and {left} remarks more: balance-validate makes all of them"


def url(address: Address, *, is_tls: bool = False) -> str:
    """The URL to use on this machine."""
    if address.is_unix:
        return str(address)
    return f"http{'s' * is_tls}://{address if address.host else Address('127.0.0.1', address.port)}"


def _pool(pool: PoolConfig) -> str:
    check = pool.health_check
    health = f"{check.kind} health checks every {check.interval_s:g}s" if check.enabled else "no health checks"
    count = len(pool.backends)
    found = f" and those that {pool.discovery.kind} finds" if pool.discovery is not None else ""
    return f"pool {pool.name} ({pool.algorithm}, {count} backend{'s' * (count != 1)}{found}, {health})"
