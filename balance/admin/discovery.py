"""What is known of the discovery of pools, and its part of /status and /pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balance.admin.json_reply import iso_time
from balance.config.model import PoolConfig
from balance.discovery.endpoint_set import Result, Standing


@dataclass(frozen=True, slots=True)
class DiscoveryView:
    """The discovery of one pool. Times are seconds since the epoch."""

    kind: str
    source: str  # what is asked, without secrets
    standing: Standing
    since: float
    endpoints: int
    last_answer_at: float | None = None
    failure: str = ""  # of the last look
    failed_at: float | None = None
    refusal: str = ""  # why the last set is not served
    is_held: bool = False  # an answer without anybody that is not believed yet
    next_look_at: float | None = None
    results: Mapping[Result, int] | None = None


def discovery_document(view: DiscoveryView | None, now: float) -> dict[str, Any] | None:
    """As /status shows it; None for a pool that has none."""
    if view is None:
        return None
    return {
        "kind": view.kind,
        "source": view.source,
        "state": view.standing.value,
        "since": iso_time(view.since),
        "endpoints": view.endpoints,
        "last_answer": iso_time(view.last_answer_at) if view.last_answer_at else None,
        "last_failure": {"words": view.failure, "at": iso_time(view.failed_at) if view.failed_at else None}
        if view.failure
        else None,
        "refused": view.refusal or None,
        "says_nobody": view.is_held,
        "next_look_in_seconds": None if view.next_look_at is None else round(max(view.next_look_at - now, 0.0), 1),
    }


def why_nobody(pool: PoolConfig, view: DiscoveryView | None) -> str:
    """Why a pool without backends is not ready; "" when it may have none: the source says so, and the file that it may."""
    if pool.discovery is None and pool.autoscaler.enabled:
        return "the autoscaler has started nobody yet"
    if pool.discovery is None or view is None or view.standing in (Standing.WAITING, Standing.FAILING):
        return "discovery has found nobody yet"
    return "" if pool.discovery.on_empty == "empty" else "discovery says that there is nobody"
