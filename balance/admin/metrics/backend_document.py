"""The backends as JSON for whoever asks /metrics for that: where each is, whether it gets traffic, and how fast it answers."""

from __future__ import annotations

from typing import Any

from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.runtime import counters


def backend_document(view: StateView) -> dict[str, Any]:
    """`latency` is the mean of all answers so far, in seconds; null before the first."""
    totals = Totals(view.board.rows)
    slots, bounds = view.board.slots, view.board.time_buckets_us
    columns = [totals.column(counters.UPSTREAM_TIME + index, slots) for index in range(len(bounds) + 1)]
    sums = totals.column(counters.UPSTREAM_TIME + counters.TIME_SUM, slots)
    documents = []
    for each in view.backends():
        answers = sum(column[each.slot] for column in columns)
        scheme = "unix:" if each.backend.address.is_unix else "https://" if each.pool.tls.client is not None else "http://"
        documents.append(
            {
                "name": each.backend.name,
                "pool": each.pool.name,
                "url": str(each.backend.address) if each.backend.address.is_unix else f"{scheme}{each.backend.address}",
                "alive": each.state.is_ready,
                "weight": each.backend.weight,
                "region": each.backend.region or None,
                "latency": round(sums[each.slot] / answers / 1_000_000, 6) if answers else None,
            }
        )
    return {"backends": documents}
