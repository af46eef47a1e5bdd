"""The scenarios."""

from dataclasses import replace

import pytest

from balance.simulation.run import simulate
from balance.simulation.scenarios import FLEET, RATE_PER_S, SCENARIOS, fleet


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_runs_and_reports_every_server(name: str) -> None:
    scenario = replace(SCENARIOS[name](), duration_s=11.0)
    report = simulate(scenario, "round-robin")
    assert list(report.shares) == [server.name for server in fleet()]
    assert report.requests == pytest.approx(RATE_PER_S * (11.0 - scenario.warm_up_s), rel=0.1)


def test_fleet_is_used_by_a_third() -> None:
    capacity = sum(server.slots / server.mean_s for server in fleet())
    assert len(fleet()) == FLEET
    assert pytest.approx(0.3) == RATE_PER_S / capacity


def test_trouble_befalls_the_first_server_alone() -> None:
    for make in SCENARIOS.values():
        assert not any(server.faults for server in make().servers[1:])
