"""A simulated server."""

from random import Random
from statistics import mean, quantiles

import pytest

from balance.simulation.scenarios import Fault, Server
from balance.simulation.servers import SimulatedServer


def server(slots: int = 8, faults: tuple[Fault, ...] = (), sigma: float = 0.0) -> SimulatedServer:
    return SimulatedServer(Server("a", mean_s=0.02, sigma=sigma, slots=slots, faults=faults), Random(1))


def test_service_times_have_the_mean_and_the_tail_that_they_should() -> None:
    long_apart = server(sigma=0.5)
    took = [long_apart.serve(float(second))[0] - second for second in range(20_000)]
    assert mean(took) == pytest.approx(0.02, rel=0.02)
    assert quantiles(took, n=100)[98] == pytest.approx(0.0565, rel=0.05)


def test_who_finds_no_slot_free_waits_for_the_first_that_is() -> None:
    both = server(slots=2)
    assert [round(both.serve(1.0)[0], 6) for _ in range(5)] == [1.02, 1.02, 1.04, 1.04, 1.06]
    assert both.serve(2.0)[0] == pytest.approx(2.02)


def test_spells_come_and_go() -> None:
    ill = server(faults=(Fault(1.0, 2.0, slowness=10.0), Fault(2.0, 3.0, fails_in_s=0.001), Fault(3.0, 4.0, is_ready=False)))
    said = [(round(at - begin, 6), is_good) for begin in (0.5, 1.5, 2.5, 3.5) for at, is_good in [ill.serve(begin)]]
    assert said == [(0.02, True), (0.2, True), (0.001, False), (0.02, True)]
    assert [ill.fault(now).is_ready for now in (2.999, 3.0, 3.999, 4.0)] == [True, False, False, True]


def test_bad_spell_changes_nothing_of_what_comes_after_it() -> None:
    well, ill = server(sigma=0.5), server(sigma=0.5, faults=(Fault(to_s=50.0, fails_in_s=0.001),))
    later = [[each.serve(float(second)) for second in range(100)][50:] for each in (well, ill)]
    assert later[0] == later[1]
