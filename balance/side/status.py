"""The status page's document: what runs, how long, with which processes, and how every backend is doing."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from balance.config.model import PoolConfig
from balance.health.panic import is_panic
from balance.health.readiness import Worker, is_stuck, why_not_ready, why_unhealthy
from balance.model import Mode
from balance.runtime import cells
from balance.side import processes
from balance.side.backends import backend, waiting
from balance.side.inside import Inside, Seen
from balance.side.totals import Totals
from balance.version import VERSION


def status(inside: Inside, now: float, now_us: int) -> dict[str, Any]:
    """The whole document. `now` on the wall clock, `now_us` on the workers' monotonic one."""
    totals = Totals(inside.board.rows)
    used = processes.total(map(processes.usage, inside.pids()))
    unhealthy = why_unhealthy(inside.board.stage, inside.workers(), now_us)
    not_ready = why_not_ready(inside.board.stage, inside.pool_states())
    uptime_s = max(now - inside.started_at, 0.0)
    in_tcp = sessions_active(inside, totals)
    return {
        "status": "unhealthy" if unhealthy else "healthy",
        "stage": inside.board.stage.word,
        "ready": not not_ready,
        "reasons": unhealthy + not_ready,
        "version": VERSION,
        "python": platform.python_version(),
        "uptime": duration(uptime_s),
        "uptime_seconds": round(uptime_s, 3),
        "config": inside.config.source,
        "generation": inside.board.generation,
        "memory": {"resident_bytes": used.memory_bytes, "virtual_bytes": used.virtual_bytes},
        "cpu_seconds": round(used.cpu_s, 2),
        "open_files": used.open_fds,
        "connections": {
            "active": totals.cell(cells.CONNECTIONS_OPEN),
            "total": totals.cell(cells.CONNECTIONS),
            "cut": totals.cell(cells.CUT),
            "bytes_in": totals.bytes_in,
            "bytes_out": totals.bytes_out,
        },
        "requests": {"active": totals.cell(cells.EXCHANGES_OPEN) - in_tcp, "total": sum(totals.series().values())},
        "sessions": {"active": in_tcp, "total": sessions(inside, totals)},
        "supervisor": {"pid": inside.supervisor_pid, "pid_namespace": processes.pid_namespace()},
        "control": {"pid": inside.control_pid, "restarts": inside.board.control_restarts},
        "worker_restarts": inside.board.worker_restarts,
        "workers": [_worker(number, row, now_us) for number, row in inside.worker_rows()],
        "listeners": [
            {
                "name": listener.name,
                "mode": listener.mode.value,
                "listen": [str(address) for name, address in inside.listening if name == listener.name],
                "pool": listener.pool,
                "connections": inside.clients(listener.name, totals),
                "max_clients": listener.max_clients or None,
            }
            for listener in inside.config.listeners
        ],
        "pools": pools(inside, now, now_us),
    }


def pools(inside: Inside, now: float, now_us: int) -> list[dict[str, Any]]:
    """Every pool with its backends."""
    totals = Totals(inside.board.rows)
    backends: dict[str, list[Seen]] = {pool.name: [] for pool in inside.config.pools}
    for seen in inside.backends():
        backends[seen.pool.name].append(seen)
    series = totals.series()
    return [_pool(pool, backends[pool.name], inside, totals, series, now, now_us) for pool in inside.config.pools]


def sessions_active(inside: Inside, totals: Totals) -> int:
    """How many sessions in TCP mode are under way: what is at the backends of pools that no HTTP listener leads to."""
    by_http = {listener.pool for listener in inside.config.listeners if listener.mode is Mode.HTTP}
    by_tcp = {listener.pool for listener in inside.config.listeners} - by_http
    return sum(totals.cell(cells.block(seen.slot) + cells.ACTIVE) for seen in inside.backends() if seen.pool.name in by_tcp)


def sessions(inside: Inside, totals: Totals) -> int:
    """How many there have been, those that found no backend included, and those of backends that are gone."""
    return sum(totals.cell(cells.block(slot) + cells.TCP_SESSIONS) for slot in range(inside.board.slots))


def duration(seconds: float) -> str:
    """A span of time as people say it: 42s, 3m5s, 2h0m5s, 1d2h3m."""
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
    pid = row[cells.PID]
    state = "stuck" if is_stuck(Worker(pid, row[cells.BEAT_US]), now_us) else "leaving" if row[cells.LEAVING] else "alive"
    return {
        "worker": number,
        "pid": pid,
        "state": state,
        "generation": row[cells.GENERATION],
        "memory_bytes": processes.usage(pid).memory_bytes,
        "connections": row[cells.CONNECTIONS_OPEN],
        "requests": row[cells.EXCHANGES_OPEN],
        "loop_lag_seconds": row[cells.LAG_MAX_US] / 1e6,
    }


def _pool(
    pool: PoolConfig,
    backends: list[Seen],
    inside: Inside,
    totals: Totals,
    series: Mapping[tuple[int, int, int], int],
    now: float,
    now_us: int,
) -> dict[str, Any]:
    blocks = {seen.slot: cells.block(seen.slot) for seen in backends}
    primaries = (seen.state for seen in backends if seen.backend.weight and not seen.backend.backup)
    backups = (seen.state for seen in backends if seen.backend.weight and seen.backend.backup)
    return {
        "name": pool.name,
        "algorithm": pool.algorithm,
        "health_check": pool.health_check.kind if pool.health_check.enabled else None,
        "waiting": waiting(pool, inside, totals),
        "active": sum(totals.cell(block + cells.ACTIVE) for block in blocks.values()),
        "requests": sum(count for (slot, _, _), count in series.items() if slot in blocks),
        "sessions": sum(totals.cell(block + cells.TCP_SESSIONS) for block in blocks.values()),
        "ready": sum(seen.state.is_ready for seen in backends if seen.backend.weight),
        "panicking": is_panic(primaries, pool.health_check.panic_threshold, backups),
        "backends": [backend(seen, inside, totals, now, now_us) for seen in backends],
    }
