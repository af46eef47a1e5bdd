"""How shared rate limits stand, for /status and for Prometheus."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from test_admin_sessions import View

from balance.admin.metrics.families.redis import collect
from balance.admin.metrics.shared_limits import shared_limits
from balance.admin.metrics.totals import Totals
from balance.runtime import counters
from balance.shared_store.failures import Failure, StoreState


def scrape_of(view: Any) -> Any:
    return SimpleNamespace(view=view, totals=Totals(view.rows))


SHARED = "rate_limit: {enabled: true, scope: redis}\nredis: {url: 'redis://me:secret@127.0.0.1:1/0', on_failure: deny}\n"


def test_they_stand_as_with_the_worker_that_is_worst_off_and_show_no_password() -> None:
    view: Any = View(SHARED)
    for row, state in zip(view.rows, (StoreState.UP, StoreState.DOWN), strict=True):
        row[counters.LIMITS_STATE] = state
        row[counters.LIMITS_BATCHES], row[counters.LIMITS_KEYS] = 3, 50
    view.rows[1][counters.LIMITS_FAILURE] = Failure.TIMEOUT
    view.rows[1][counters.LIMITS_ERRORS], view.rows[0][counters.LIMITS_UNSHARED] = 2, 7
    assert shared_limits(view) == {
        "state": "down",
        "reason": "it does not answer in time",
        "url": "redis://***@127.0.0.1:1/0",
        "on_failure": "deny",
        "exchanges": 6,
        "keys": 100,
        "errors": 2,
        "unshared": 7,
    }
    samples = {sample.name: sample.value for metric in collect(scrape_of(view)) for sample in metric.samples}
    assert samples == {
        "balance_rate_limit_store_up": 0,
        "balance_rate_limit_exchanges_total": 6,
        "balance_rate_limit_exchanged_keys_total": 100,
        "balance_rate_limit_exchange_errors_total": 2,
        "balance_rate_limit_unshared_requests_total": 7,
    }
    view.rows[1][counters.LIMITS_STATE] = StoreState.UP
    assert next(iter(collect(scrape_of(view)))).samples[0].value == 1


@pytest.mark.parametrize(
    "text", [SHARED.replace("scope: redis", "scope: local"), SHARED.partition("\n")[0], SHARED.replace("enabled: true, ", "")]
)
def test_where_none_is_shared_nothing_is_said(text: str) -> None:
    view: Any = View(text)
    assert shared_limits(view) is None
    assert list(collect(scrape_of(view))) == []
