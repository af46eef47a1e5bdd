"""The pools of the document, as sums of their backends, and what each has of its own: queue, sessions, retry budget."""

from __future__ import annotations

from typing import Any

from balance.admin.dashboard.state.backends import Row
from balance.admin.dashboard.state.moment import Moment, grown, percentiles
from balance.admin.dashboard.state.reading import rounded
from balance.admin.discovery import DiscoveryView
from balance.admin.sessions import kept_in
from balance.config.model import PoolConfig
from balance.runtime import counters

Section = dict[str, Any]


def pools(moment: Moment, rows: dict[str, Row]) -> dict[str, Section]:
    """All pools by name. `rows` are the backends of the document."""
    by_pool: dict[str, list[Row]] = {}
    found = moment.view.discovery()
    for row in rows.values():
        by_pool.setdefault(row["pool"], []).append(row)
    return {
        pool.name: _pool(moment, pool, order, by_pool.get(pool.name, [])) | _discovery(found.get(pool.name))
        for order, pool in enumerate(moment.view.config.pools)
    }


def _pool(moment: Moment, pool: PoolConfig, order: int, rows: list[Row]) -> Section:
    slots = [moment.view.slots[pool.name, backend.name] for backend in pool.backends]
    now, window, long = (sample.reading.sums(slots) for sample in (moment.sample, moment.window, moment.long))
    ready = sum(not row["out"] for row in rows)
    section: Section = {
        "order": order,
        "algorithm": pool.algorithm,
        "backends": len(rows),
        "ready": ready,
        "panicking": any(row["out"] and row.get("due_share") for row in rows),
        "waiting": moment.reading.cell(slots[0], counters.WAITING) if slots else 0,
        "active": now[counters.ACTIVE],
        "rate": moment.per_second(now[counters.LEASES] - window[counters.LEASES], moment.window),
        "errors_5xx": moment.per_second(sum(moment.errors.get(slot, 0) for slot in slots), moment.window),
        "requests_total": now[counters.LEASES],
        **percentiles(grown(now, window, counters.UPSTREAM_TIME), moment.bounds_us, 0.5, 0.99),
    }
    if any(backend.max_connections for backend in pool.backends):
        section["max_waiting"] = pool.queue.size
    if pool.health_check.enabled:
        section["health_check"] = pool.health_check.kind
    if pool.affinity.enabled:
        began = now[counters.SESSIONS]
        section["sessions"] = {
            "mode": pool.affinity.mode,
            "kept_in": kept_in(pool, moment.view.config),
            "began": moment.per_second(began - window[counters.SESSIONS], moment.window),
            "began_total": began,
        }
    if pool.retry.enabled:
        section["retry_budget"] = _budget(pool, now, long)
    if rows and not ready:
        section["reason"] = _outage(rows)
    return section


def _discovery(view: DiscoveryView | None) -> Section:
    """What is known of a pool's source, for a pool that has one."""
    if view is None:
        return {}
    section: Section = {"kind": view.kind, "state": view.standing.value, "source": view.source}
    why = view.refusal or view.failure or ("the source says that there is nobody" if view.is_held else "")
    return {"discovery": section | ({"why": why} if why else {})}


def _budget(pool: PoolConfig, now: list[int], before: list[int]) -> Section:
    """How much of its retries is left, by its requests and retries within ten seconds, as of all workers' budgets together."""
    requests = max(now[counters.LEASES] - before[counters.LEASES], 0)
    retries = max(now[counters.RETRIES] - before[counters.RETRIES], 0)
    budget = pool.retry.budget
    allowed = budget.ratio * max(requests - retries, 0) + budget.min_per_second * 10
    left = max(1.0 - retries / allowed, 0.0) if allowed else 0.0
    return {"ratio": budget.ratio, "min_per_second": budget.min_per_second, "left_share": rounded(left)}


def _outage(rows: list[Row]) -> str:
    """Why nothing of it is ready, in one sentence."""
    counts: dict[str, int] = {}
    for row in rows:
        breaker = row.get("breaker", {}).get("state", "closed")
        word = row["state"] if breaker == "closed" else f"{row['state']} with a breaker that is {breaker}"
        counts[word] = counts.get(word, 0) + 1
    listed = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    return f"No backend takes its share: {listed}."
