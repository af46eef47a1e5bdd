"""The /status document: version, uptime, processes, listeners, pools, backends."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from balance.admin.backends import backend, waiting
from balance.admin.discovery import DiscoveryView, discovery_document
from balance.admin.metrics import processes
from balance.admin.metrics.shared_limits import shared_limits
from balance.admin.metrics.totals import Totals
from balance.admin.sessions import store
from balance.admin.state_view import BackendView, StateView
from balance.config.model import PoolConfig
from balance.health.panic import is_panic
from balance.health.readiness import Worker, is_stuck, not_ready_reasons, unhealthy_reasons
from balance.model import Mode
from balance.runtime import counters
from balance.security.key_set import JwksSource, KeyState
from balance.version import VERSION


def _keys(source: JwksSource, state: KeyState, now: float) -> dict[str, Any]:
    """Keys of tokens by URL."""
    return {
        "url": source.name,
        "age_seconds": round(max(now - state.fetched_at, 0.0), 1) if state.text else None,
        "failure": state.failure or None,
        "failed_seconds_ago": round(max(now - state.failed_at, 0.0), 1) if state.failed_at else None,
        "fetches": state.fetches,
        "failures": state.failures,
    }


def status(view: StateView, now: float, now_us: int) -> dict[str, Any]:
    """The document. `now` is wall clock time, `now_us` monotonic."""
    totals = Totals(view.board.rows)
    used = processes.total(map(processes.usage, view.pids()))
    unhealthy = unhealthy_reasons(view.board.stage, view.workers(), now_us)
    not_ready = not_ready_reasons(view.board.stage, view.pool_states())
    uptime_s = max(now - view.started_at, 0.0)
    in_tcp = sessions_active(view, totals)
    return {
        "status": "unhealthy" if unhealthy else "healthy",
        "stage": view.board.stage.word,
        "ready": not not_ready,
        "reasons": unhealthy + not_ready,
        "version": VERSION,
        "python": platform.python_version(),
        "uptime": duration(uptime_s),
        "uptime_seconds": round(uptime_s, 3),
        "config": view.config.source,
        "generation": view.board.generation,
        "memory": {"resident_bytes": used.memory_bytes, "virtual_bytes": used.virtual_bytes},
        "cpu_seconds": round(used.cpu_s, 2),
        "open_files": used.open_fds,
        "connections": {
            "active": totals.cell(counters.CONNECTIONS_OPEN),
            "total": totals.cell(counters.CONNECTIONS),
            "cut": totals.cell(counters.CUT),
            "bytes_in": totals.bytes_in,
            "bytes_out": totals.bytes_out,
        },
        "requests": {"active": totals.cell(counters.EXCHANGES_OPEN) - in_tcp, "total": sum(totals.series().values())},
        "sessions": {"active": in_tcp, "total": sessions(view, totals)},
        "redis": store(view),
        "rate_limits": shared_limits(view),
        "keys": [_keys(source, state, now) for source, state in view.key_states().items()],
        "supervisor": {"pid": view.supervisor_pid, "pid_namespace": processes.pid_namespace()},
        "control": {"pid": view.control_pid, "restarts": view.board.control_restarts},
        "worker_restarts": view.board.worker_restarts,
        "workers": [_worker(number, row, now_us) for number, row in view.worker_rows()],
        "listeners": [
            {
                "name": listener.name,
                "mode": listener.mode.value,
                "listen": [str(address) for name, address in view.listening if name == listener.name],
                "pool": listener.pool,
                "routes": len(listener.http.routes),
                "connections": view.clients(listener.name, totals),
                "max_clients": listener.max_clients or None,
            }
            for listener in view.config.listeners
        ],
        "pools": pools(view, now, now_us),
    }


def pools(view: StateView, now: float, now_us: int) -> list[dict[str, Any]]:
    """Every pool with its backends."""
    totals = Totals(view.board.rows)
    backends: dict[str, list[BackendView]] = {pool.name: [] for pool in view.config.pools}
    for backend_view in view.backends():
        backends[backend_view.pool.name].append(backend_view)
    series, found = totals.series(), view.discovery()
    return [
        _pool(pool, backends[pool.name], view, totals, series, now, now_us, found.get(pool.name)) for pool in view.config.pools
    ]


def sessions_active(view: StateView, totals: Totals) -> int:
    """TCP sessions now: active connections at the backends of pools that no HTTP listener uses."""
    by_http = {pool for listener in view.config.listeners if listener.mode is Mode.HTTP for pool in listener.pools}
    by_tcp = {pool for listener in view.config.listeners for pool in listener.pools} - by_http
    return sum(
        totals.cell(counters.block(backend_view.slot) + counters.ACTIVE)
        for backend_view in view.backends()
        if backend_view.pool.name in by_tcp
    )


def sessions(view: StateView, totals: Totals) -> int:
    """All TCP sessions so far, those without a backend and of removed backends included."""
    return sum(totals.cell(counters.block(slot) + counters.TCP_SESSIONS) for slot in range(view.board.slots))


def duration(seconds: float) -> str:
    """A duration as 42s, 3m5s, 2h0m5s, 1d2h3m."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour}h{minute}m"
    if hours:
        return f"{hours}h{minute}m{second}s"
    return f"{minutes}m{second}s" if minutes else f"{second}s"


def _worker(number: int, row: memoryview | None, now_us: int) -> dict[str, Any]:
    if row is None:
        nothing = {"generation": None, "memory_bytes": 0, "connections": 0, "requests": 0, "loop_lag_seconds": 0.0}
        return {"worker": number, "pid": None, "state": "gone"} | nothing
    pid = row[counters.PID]
    state = "stuck" if is_stuck(Worker(pid, row[counters.BEAT_US]), now_us) else "leaving" if row[counters.LEAVING] else "alive"
    return {
        "worker": number,
        "pid": pid,
        "state": state,
        "generation": row[counters.GENERATION],
        "memory_bytes": processes.usage(pid).memory_bytes,
        "connections": row[counters.CONNECTIONS_OPEN],
        "requests": row[counters.EXCHANGES_OPEN],
        "loop_lag_seconds": row[counters.LAG_MAX_US] / 1e6,
    }


def _pool(
    pool: PoolConfig,
    backends: list[BackendView],
    view: StateView,
    totals: Totals,
    series: Mapping[tuple[int, int, int, int], int],
    now: float,
    now_us: int,
    discovery: DiscoveryView | None,
) -> dict[str, Any]:
    blocks = {backend_view.slot: counters.block(backend_view.slot) for backend_view in backends}
    primaries = (
        backend_view.state for backend_view in backends if backend_view.backend.weight and not backend_view.backend.backup
    )
    backups = (backend_view.state for backend_view in backends if backend_view.backend.weight and backend_view.backend.backup)
    return {
        "name": pool.name,
        "algorithm": pool.algorithm,
        "health_check": pool.health_check.kind if pool.health_check.enabled else None,
        "waiting": waiting(pool, view, totals),
        "active": sum(totals.cell(block + counters.ACTIVE) for block in blocks.values()),
        "requests": sum(count for (slot, *_), count in series.items() if slot in blocks),
        "sessions": sum(totals.cell(block + counters.TCP_SESSIONS) for block in blocks.values()),
        "ready": sum(backend_view.state.is_ready for backend_view in backends if backend_view.backend.weight),
        "panicking": is_panic(primaries, pool.health_check.panic_threshold, backups),
        "discovery": discovery_document(discovery, now),
        "backends": [backend(backend_view, view, totals, now, now_us) for backend_view in backends],
    }
