"""How rate limits that several machines share stand."""

from __future__ import annotations

from typing import Any

from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.config.overrides.value_format import redact_text
from balance.runtime import counters
from balance.shared_store.failures import Failure, StoreState


def shared_limits(view: StateView) -> dict[str, Any] | None:
    """The worst of the workers; None where no limit is shared."""
    config = view.config
    if not config.shares_limits:
        return None
    state, failure = worst_limits(view)
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


def worst_limits(view: StateView) -> tuple[StoreState, Failure]:
    """The worst state of the store in a living worker, and the reason."""
    rows = [row for row in view.board.rows if row[counters.PLACE] and row[counters.LIMITS_STATE]]
    if not rows:
        return StoreState.CONNECTING, Failure.NONE
    row = max(rows, key=lambda row: row[counters.LIMITS_STATE])
    return StoreState(row[counters.LIMITS_STATE]), Failure(row[counters.LIMITS_FAILURE])
