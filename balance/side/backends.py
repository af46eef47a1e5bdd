"""What is known of each backend, as JSON: how it stands and why, its breaker, what it does, what its last probe said."""

from __future__ import annotations

from typing import Any

from balance.config.model import PoolConfig
from balance.health.breaker import CAUSE, OPENED, PHASE, SINCE_US, UNTIL_US, Phase, Signal
from balance.health.states import State
from balance.runtime import cells
from balance.side.inside import Inside, Seen
from balance.side.replies import moment
from balance.side.totals import Totals


def backends(inside: Inside, now: float, now_us: int) -> dict[str, Any]:
    """The whole document. `now` on the wall clock, `now_us` on the workers' monotonic one."""
    totals = Totals(inside.board.rows)
    return {"backends": [{"pool": seen.pool.name} | backend(seen, inside, totals, now, now_us) for seen in inside.backends()]}


def backend(seen: Seen, inside: Inside, totals: Totals, now: float, now_us: int) -> dict[str, Any]:
    """One of them."""
    block = cells.block(seen.slot)
    last = inside.last_result(seen.slot)
    answers, taken_s = totals.histogram(block + cells.UPSTREAM_TIME, cells.TIME_BUCKETS_US, 1_000_000)
    active = totals.cell(block + cells.ACTIVE)
    return {
        "name": seen.backend.name,
        "address": str(seen.backend.address),
        "weight": seen.backend.weight,
        "backup": seen.backend.backup,
        "max_connections": seen.backend.max_connections or None,
        "metadata": dict(seen.backend.metadata),
        "state": state_word(seen),
        "why": inside.board.reason(seen.slot) or None,
        "since": moment(seen.since) if seen.since else None,
        "last_check": {"ok": last.is_ok, "reason": last.reason, "seconds": round(last.duration_s, 6)} if last else None,
        "ejections": inside.board.ejection(seen.slot).total,
        "breaker": breaker(seen, inside, now, now_us) if seen.pool.breaker.enabled else None,
        "active": active,
        "drained": is_drained(inside, active) if seen.state.is_ordered else None,
        "waiting": waiting(seen.pool, inside, totals),
        "connections": totals.cell(block + cells.OPEN),
        "requests": totals.cell(block + cells.LEASES),
        "failures": totals.cell(block + cells.FAILURES),
        "blamed": totals.cell(block + cells.BLAMED),
        "retries": totals.cell(block + cells.RETRIES),
        "mean_seconds": round(taken_s / answers[-1][1], 6) if answers[-1][1] else None,
    }


def state_word(seen: Seen) -> str:
    """How it stands, in a word. What nobody checks and nobody took out is not unknown for want of an answer."""
    return "unchecked" if seen.state is State.UNKNOWN and not seen.pool.health_check.enabled else seen.state.word


def is_drained(inside: Inside, active: int) -> bool:
    """Whether nothing is under way any more at a backend that gets nothing new, and nothing can come: every worker has heard of
    that, and `active` is what all of them hold since."""
    us = inside.board.states_us
    return not active and all(row[cells.APPLIED_US] >= us for row in inside.board.rows if row[cells.PLACE])


def waiting(pool: PoolConfig, inside: Inside, totals: Totals) -> int:
    """How many requests wait for any backend of the pool."""
    return totals.cell(cells.block(inside.slots[pool.name, pool.backends[0].name]) + cells.WAITING)


def phase_of(seen: Seen, inside: Inside, now_us: int) -> Phase:
    """A breaker's phase as requests find it: one that was open for long enough is half-open for the next."""
    evidence = inside.board.evidence(seen.slot)
    phase = Phase(evidence[PHASE])
    return Phase.HALF_OPEN if phase is Phase.OPEN and now_us >= evidence[UNTIL_US] else phase


def breaker(seen: Seen, inside: Inside, now: float, now_us: int) -> dict[str, Any]:
    """One backend's breaker."""
    evidence = inside.board.evidence(seen.slot)
    phase, since_us = phase_of(seen, inside, now_us), evidence[SINCE_US]
    document: dict[str, Any] = {
        "state": phase.word,
        "why": Signal(evidence[CAUSE]).words or None,
        "since": moment(now - (now_us - since_us) / 1e6) if since_us else None,
        "opened": evidence[OPENED],
    }
    if phase is Phase.OPEN:
        document["tried_again_in_seconds"] = round((evidence[UNTIL_US] - now_us) / 1e6, 3)
    return document
