"""Runs `async def` tests on the loop of their stage, and fails those that leave anything behind in the proxy, or in which an
exchange takes a step that is not in its table."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage

from balance.proxy.http.exchange.exchange import Exchange
from balance.proxy.http.exchange.exchange_state import TRANSITIONS, ExchangeState

_STATE = Exchange.__dict__["state"]  # the slot


class _WatchedState:
    """In the slot's place."""

    def __init__(self, failures: list[str]) -> None:
        self.failures = failures

    def __get__(self, exchange: Exchange, _: type | None = None) -> ExchangeState:
        return _STATE.__get__(exchange)

    def __set__(self, exchange: Exchange, state: ExchangeState) -> None:
        try:
            before = _STATE.__get__(exchange)
        except AttributeError:
            before = None
        if (state is not ExchangeState.CHOOSING) if before is None else (state not in TRANSITIONS[before]):
            self.failures.append(f"an exchange went from {before!r} to {state!r}")
        _STATE.__set__(exchange, state)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    monkeypatch.setattr(Exchange, "state", _WatchedState(stage.failures))
    yield stage
    stage.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pyfuncitem.funcargs["stage"].run(pyfuncitem.obj(**arguments))
    return True
