"""Why a backend is out, in a sentence, and when it may be back."""

from __future__ import annotations

from typing import Any

import pytest

from balance.admin.dashboard.state.reasons import backend_reason
from balance.config.model import HealthCheck
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State

CHECK = HealthCheck(enabled=True, interval_s=5.0, healthy_threshold=2)


@pytest.mark.parametrize(
    ("state", "words", "more", "text", "back_in_s"),
    [
        (State.HEALTHY, "", {}, None, None),
        (State.UNKNOWN, "", {}, None, None),
        (
            State.UNHEALTHY,
            "connection refused",
            {},
            "Its health checks fail (connection refused); it is back after 2 good checks in a row.",
            None,
        ),
        (
            State.EJECTED,
            "5 failures in a row",
            {"ejected_for_s": 7.0},
            "Ejected (5 failures in a row); a request will try it when its time is over, or after 2 good checks in a row.",
            7.0,
        ),
        (
            State.EJECTED,
            "5 failures in a row",
            {"ejected_for_s": 7.0, "breaker": BreakerState.OPEN, "open_for_s": 60.0, "breaker_words": "too many"},
            "Ejected (5 failures in a row), and its circuit breaker is open (too many); requests will try it "
            "when both are over.",
            60.0,
        ),
        (State.EJECTED, "x", {"ejected_for_s": -3.0}, None, 0.0),
        (State.HEALTHY, "", {"breaker": BreakerState.OPEN, "open_for_s": 9.0}, None, 9.0),
        (State.HEALTHY, "", {"breaker": BreakerState.HALF_OPEN}, None, None),
        (
            State.DRAINING,
            "ordered on the admin port",
            {"drained": False},
            "Drained by an operator (ordered on the admin port): nothing new goes there until it is enabled; "
            "what is under way there may end.",
            None,
        ),
        (State.MAINTENANCE, "", {}, "In maintenance, by an operator: nothing goes there until it is enabled.", None),
        (State.HEALTHY, "", {"weight": 0}, "Its weight is 0: sessions stay, nothing new goes there until it has one.", None),
        (State.HEALTHY, "", {"is_idle_backup": True}, None, None),
    ],
)
def test_reasons(state: State, words: str, more: dict[str, Any], text: str | None, back_in_s: float | None) -> None:
    found = backend_reason(state, words, CHECK, **{"weight": 1, **more})
    if text is None and back_in_s is None and not more:
        assert found is None
        return
    assert found is not None
    assert found.back_in_s == back_in_s
    assert found.text.endswith(".") and found.text.count(". ") == 0  # one sentence
    if text is not None:
        assert found.text == text


def test_one_good_check_is_said_as_one() -> None:
    found = backend_reason(State.UNHEALTHY, "", HealthCheck(enabled=True, interval_s=1.0, healthy_threshold=1), weight=1)
    assert found is not None and found.text == "Its health checks fail; it is back after one good check."
