"""How rate limits that several machines share stand: for /status and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.config.overrides.value_format import redact_text
from balance.runtime import counters
from balance.shared_store.failures import Failure, StoreState

_COUNTERS: Final = (
    ("balance_rate_limit_exchanges", "Batches in which machines told each other of their limits.", counters.LIMITS_BATCHES),
    ("balance_rate_limit_exchanged_keys", "Keys in those batches.", counters.LIMITS_KEYS),
    ("balance_rate_limit_exchange_errors", "Batches that Redis refused or did not answer in time.", counters.LIMITS_ERRORS),
    (
        "balance_rate_limit_unshared_requests",
        "Requests that were counted on their own machine alone, as too many keys waited.",
        counters.LIMITS_UNSHARED,
    ),
)


def shared_limits(view: StateView) -> dict[str, Any] | None:
    """The worst of the workers; None where no limit is shared."""
    config = view.config
    if not config.shares_limits:
        return None
    state, failure = _worst(view)
    totals = Totals(view.board.rows)
    return {
        "state": state.word,
        "reason": failure.text or None,
        "url": redact_text(config.redis.url),
        "on_failure": config.redis.on_failure,
        "exchanges": totals.cell(counters.LIMITS_BATCHES),
        "keys": totals.cell(counters.LIMITS_KEYS),
        "errors": totals.cell(counters.LIMITS_ERRORS),
        "unshared": totals.cell(counters.LIMITS_UNSHARED),
    }


def shared_limit_metrics(view: StateView, totals: Totals) -> Iterator[Metric]:
    """None where no limit is shared."""
    if not view.config.shares_limits:
        return
    text = "1 when every worker shares its rate limits with other machines."
    yield GaugeMetricFamily("balance_rate_limit_store_up", text, value=_worst(view)[0] is StoreState.UP)
    for name, text, cell in _COUNTERS:
        yield CounterMetricFamily(name, text, value=totals.cell(cell))


def _worst(view: StateView) -> tuple[StoreState, Failure]:
    rows = [row for row in view.board.rows if row[counters.PLACE] and row[counters.LIMITS_STATE]]
    if not rows:
        return StoreState.CONNECTING, Failure.NONE
    row = max(rows, key=lambda row: row[counters.LIMITS_STATE])
    return StoreState(row[counters.LIMITS_STATE]), Failure(row[counters.LIMITS_FAILURE])
