"""What the algorithms are for: a fleet with one server in trouble is as good as one without it.

Virtual time and fixed seeds: how busy the machine is changes nothing.
"""

from dataclasses import replace
from functools import cache

import pytest

from balance.load import DECAY_S
from balance.simulation import SCENARIOS, Report, simulate
from balance.simulation.scenarios import RATE_PER_S

pytestmark = pytest.mark.long
LATENCY = ("least-response-time", "adaptive")
LOAD = ("least-connections", "weighted-least-connections", "power-of-two")
FAIR = 0.1
RECOVERED_S = 20.0  # when the server of the *-then-well scenarios is well again

looking = pytest.mark.parametrize("algorithm", LATENCY + LOAD)
alone_or_many = pytest.mark.parametrize("balancers", [1, pytest.param(16, marks=pytest.mark.long)])


@cache
def run(scenario: str, algorithm: str, balancers: int, duration_s: float = 0.0) -> Report:
    made = replace(SCENARIOS[scenario](), balancers=balancers)
    return simulate(replace(made, duration_s=duration_s) if duration_s else made, algorithm)


@alone_or_many
@pytest.mark.parametrize("algorithm", LATENCY)
def test_one_server_ten_times_slower_keeps_p99_within_a_tenth_of_the_healthy_fleet_s(algorithm: str, balancers: int) -> None:
    healthy, troubled = run("healthy", algorithm, balancers), run("one-slow", algorithm, balancers)
    assert troubled.p99_s <= 1.1 * healthy.p99_s
    assert troubled.share("server-1") < 0.01


@alone_or_many
@looking
def test_looking_at_load_or_latency_costs_a_healthy_fleet_nothing(algorithm: str, balancers: int) -> None:
    assert run("healthy", algorithm, balancers).p99_s <= 1.05 * run("healthy", "round-robin", balancers).p99_s


@pytest.mark.long
@pytest.mark.parametrize("algorithm", LATENCY + LOAD + ("bounded-load",))
def test_many_balancers_of_a_busy_fleet_do_not_all_run_to_one_server(algorithm: str) -> None:
    busy = replace(SCENARIOS["healthy"](), rate_per_s=2 * RATE_PER_S, balancers=16)
    assert simulate(busy, algorithm).p99_s <= 1.1 * simulate(busy, "round-robin").p99_s


@alone_or_many
@pytest.mark.parametrize("algorithm", LOAD)
def test_one_slow_server_gets_a_fraction_of_its_share_from_whoever_counts_leases(algorithm: str, balancers: int) -> None:
    assert run("one-slow", algorithm, balancers).share("server-1") < 0.35 * FAIR


def test_one_slow_server_ruins_whoever_looks_at_nothing() -> None:
    assert run("one-slow", "round-robin", 1).p99_s > 100 * run("healthy", "round-robin", 1).p99_s


@alone_or_many
@looking
@pytest.mark.parametrize("scenario", ["one-failing", "one-falls-ill"])
def test_server_that_fails_at_once_never_draws_more_than_its_share(scenario: str, algorithm: str, balancers: int) -> None:
    report = run(scenario, algorithm, balancers)
    assert report.share("server-1") < 0.2 * FAIR
    began_s = 0 if scenario == "one-failing" else 10
    assert report.share("server-1", began_s, began_s + 1.0) <= FAIR  # while each of 16 balancers finds out by itself
    for second in range(began_s, 26):  # at no time, not on average alone
        assert report.share("server-1", second, second + 5.0) <= 0.5 * FAIR


@pytest.mark.long
@alone_or_many
@looking
@pytest.mark.parametrize("scenario", ["slow-then-well", "failing-then-well"])
def test_server_that_is_well_again_is_back_to_nine_tenths_of_its_share_in_three_decay_times(
    scenario: str, algorithm: str, balancers: int
) -> None:
    back_s = RECOVERED_S + 3 * DECAY_S
    report = run(scenario, algorithm, balancers, back_s + 20.0)
    assert report.share("server-1", 0.0, RECOVERED_S) < 0.35 * FAIR
    assert report.share("server-1", back_s) >= 0.9 * FAIR


@alone_or_many
def test_bounded_load_does_not_pour_what_does_not_fit_into_a_server_that_fails(balancers: int) -> None:
    assert run("one-failing", "bounded-load", balancers).share("server-1") <= 1.05 * FAIR


def test_bounded_load_spreads_what_hot_keys_heap_up() -> None:
    assert max(run("hot-keys", "consistent-hash", 1).shares.values()) > 2 * FAIR
    assert max(run("hot-keys", "bounded-load", 1).shares.values()) < 1.3 * FAIR
