"""The lines of the log that tell of changes."""

import logging

import pytest

from balance.config.model import BackendConfig
from balance.health.circuit_breaker import BreakerChange, BreakerState, Signal
from balance.health.states import State, Transition
from balance.model import Address
from balance.process.state_log import backend_name, log_breaker, log_state

NAME = backend_name("web", BackendConfig("b1", Address("10.0.0.1", 80)))
LOG = logging.getLogger("balance.test")


@pytest.mark.parametrize(
    ("change", "level", "line"),
    [
        (
            BreakerChange(BreakerState.CLOSED, BreakerState.OPEN, Signal.FAILURES, 60.0),
            "WARNING",
            "the circuit breaker of backend web/b1 (10.0.0.1:80) is open: too many failures in a row; it is tried again in 60s",
        ),
        (
            BreakerChange(BreakerState.OPEN, BreakerState.HALF_OPEN, Signal.TIME),
            "INFO",
            "the circuit breaker of backend web/b1 (10.0.0.1:80) is half-open: it was open for long enough",
        ),
    ],
)
def test_a_breaker_says_where_it_went_and_why(
    change: BreakerChange, level: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        log_breaker(LOG, NAME, change)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, line)]


@pytest.mark.parametrize(
    ("after", "level"),
    [(State.HEALTHY, "INFO"), (State.UNHEALTHY, "WARNING"), (State.EJECTED, "WARNING"), (State.DRAINING, "WARNING")],
)
def test_only_bad_news_is_a_warning(after: State, level: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_state(LOG, NAME, Transition(State.UNKNOWN, after, 1, "x"), "said so")
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, f"backend web/b1 (10.0.0.1:80) is {after.word}: said so")
