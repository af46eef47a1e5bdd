"""The simulation: deterministic, and correct for known results."""

from dataclasses import replace

import pytest

from balance.balancing import POLICIES
from balance.simulation.run import simulate
from balance.simulation.scenarios import SCENARIOS, Fault, Scenario, Server, fleet, with_faults


@pytest.mark.parametrize("algorithm", sorted(POLICIES))
def test_same_seed_gives_the_same_report(algorithm: str) -> None:
    scenario = Scenario(with_faults(Fault(slowness=5.0)), duration_s=2.0, balancers=3, keys=50)
    assert str(simulate(scenario, algorithm, seed=4)) == str(simulate(scenario, algorithm, seed=4))


def test_another_seed_gives_another_report() -> None:
    scenario = Scenario(fleet(), duration_s=2.0)
    assert str(simulate(scenario, "random", seed=1)) != str(simulate(scenario, "random", seed=2))


def test_what_comes_does_not_depend_on_the_algorithm() -> None:
    scenario = Scenario(fleet(), duration_s=2.0)
    assert len({simulate(scenario, algorithm).requests for algorithm in POLICIES}) == 1


def test_queue_of_one_server_is_as_long_as_theory_says() -> None:
    # M/M/1 would need exponential service; with a constant one the mean wait is rho / (2 (1 - rho)) services (Pollaczek 1930).
    scenario = Scenario((Server("a", mean_s=0.01, sigma=0.0, slots=1),), rate_per_s=50.0, duration_s=400.0)
    report = simulate(scenario, "round-robin")
    waits = [report.quantile_s(part / 200) - 0.01 for part in range(1, 200)]
    assert sum(waits) / len(waits) == pytest.approx(0.005, rel=0.1)


def test_fleet_that_is_never_ready_answers_nothing() -> None:
    scenario = Scenario(tuple(replace(server, faults=(Fault(is_ready=False),)) for server in fleet(2)), duration_s=1.0)
    report = simulate(scenario, "round-robin")
    assert report.errors == report.requests > 1000
    assert report.shares == {"server-1": 0.0, "server-2": 0.0}


def test_server_that_is_not_ready_gets_nothing_meanwhile() -> None:
    scenario = Scenario(with_faults(Fault(1.0, 2.0, is_ready=False)), duration_s=3.0, balancers=4)
    report = simulate(scenario, "least-connections")
    assert report.share("server-1", 1.0, 2.0) == 0.0
    assert report.share("server-1", 0.0, 1.0) > 0.05
    assert report.share("server-1", 2.0, 3.0) > 0.05


def test_weights_are_the_servers_own() -> None:
    servers = tuple(replace(server, weight=weight) for server, weight in zip(fleet(3), (3, 2, 1), strict=True))
    report = simulate(Scenario(servers, duration_s=2.0), "weighted-round-robin")
    assert [round(6 * share, 1) for share in report.shares.values()] == [3.0, 2.0, 1.0]


def test_balancers_learn_what_the_others_hold() -> None:
    scenario = replace(SCENARIOS["one-slow"](), balancers=16)
    blind = replace(scenario, sync_interval_s=1e9)
    assert simulate(scenario, "least-connections").p99_s < 0.8 * simulate(blind, "least-connections").p99_s


def test_flap_moves_few_keys_where_they_are_hashed() -> None:
    scenario = replace(SCENARIOS["flapping"](), duration_s=10.0)
    assert simulate(scenario, "maglev").moved < 0.1 * simulate(scenario, "round-robin").moved
