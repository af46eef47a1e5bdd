"""A fault whose time counts from the load on ends once, however often the file is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from balance.config.fault_ends import fault_end_s, fault_ends, with_fault_ends
from balance.config.model import Config, HttpConfig, ListenerConfig, PoolConfig
from balance.config.overrides.difference import difference
from balance.config.route_model import Fault, RouteConfig, TrafficPolicy
from balance.model import Mode

TEN_MINUTES = Fault(abort_percent=5, until_s=600, is_until_relative=True)


def config(fault: Fault | None, listener: str = "main") -> Config:
    routes = (RouteConfig("plain", pool="web"), RouteConfig("tried", pool="web", policy=TrafficPolicy(fault=fault)))
    return Config((ListenerConfig(listener, (), Mode.HTTP, "web", http=HttpConfig(routes=routes)),), (PoolConfig("web", ()),))


def end(of: Config) -> float:
    fault = of.listeners[0].http.routes[1].policy.fault
    assert fault is not None
    return fault_end_s(fault)


def test_the_time_counts_from_the_first_load_on() -> None:
    assert end(with_fault_ends(config(TEN_MINUTES), (), 1000.0)) == 1600.0


def test_the_same_file_again_does_not_put_the_end_off() -> None:
    served = with_fault_ends(config(TEN_MINUTES), (), 1000.0)
    again = with_fault_ends(config(TEN_MINUTES), fault_ends(served), 1500.0)
    assert again == served


@pytest.mark.parametrize(
    ("before", "listener"),
    [
        (None, "main"),
        (replace(TEN_MINUTES, until_s=300), "main"),
        (replace(TEN_MINUTES, abort_percent=6), "main"),
        (TEN_MINUTES, "other"),
    ],
)
def test_another_fault_or_a_new_one_has_its_whole_time(before: Fault | None, listener: str) -> None:
    served = with_fault_ends(config(before, listener), (), 1000.0)
    assert end(with_fault_ends(config(TEN_MINUTES), fault_ends(served), 1500.0)) == 2100.0


def test_a_time_of_day_stays_what_it_is_and_no_fault_costs_nothing() -> None:
    given = config(Fault(abort_percent=5, until_s=1_800_000_000.0))
    assert with_fault_ends(given, (), 1000.0) is given
    assert end(given) == 1_800_000_000.0
    assert with_fault_ends(config(None), (), 1000.0) == config(None)


def test_an_end_is_no_change_of_the_configuration() -> None:
    served = with_fault_ends(config(TEN_MINUTES), (), 1000.0)
    assert not difference(served, with_fault_ends(config(TEN_MINUTES), (), 2000.0))
