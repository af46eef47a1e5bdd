"""One simulated machine."""

from random import Random
from statistics import mean, quantiles

import pytest

from balance.simulation.scenarios import Server, Spell
from balance.simulation.servers import Machine


def machine(slots: int = 8, spells: tuple[Spell, ...] = (), sigma: float = 0.0) -> Machine:
    return Machine(Server("a", mean_s=0.02, sigma=sigma, slots=slots, spells=spells), Random(1))


def test_service_times_have_the_mean_and_the_tail_that_they_should() -> None:
    long_apart = machine(sigma=0.5)
    took = [long_apart.serve(float(second))[0] - second for second in range(20_000)]
    assert mean(took) == pytest.approx(0.02, rel=0.02)
    assert quantiles(took, n=100)[98] == pytest.approx(0.0565, rel=0.05)


def test_who_finds_no_slot_free_waits_for_the_first_that_is() -> None:
    both = machine(slots=2)
    assert [round(both.serve(1.0)[0], 6) for _ in range(5)] == [1.02, 1.02, 1.04, 1.04, 1.06]
    assert both.serve(2.0)[0] == pytest.approx(2.02)


def test_spells_come_and_go() -> None:
    ill = machine(spells=(Spell(1.0, 2.0, slowness=10.0), Spell(2.0, 3.0, fails_in_s=0.001), Spell(3.0, 4.0, is_ready=False)))
    said = [(round(at - begin, 6), is_good) for begin in (0.5, 1.5, 2.5, 3.5) for at, is_good in [ill.serve(begin)]]
    assert said == [(0.02, True), (0.2, True), (0.001, False), (0.02, True)]
    assert [ill.spell(now).is_ready for now in (2.999, 3.0, 3.999, 4.0)] == [True, False, False, True]


def test_bad_spell_changes_nothing_of_what_comes_after_it() -> None:
    well, ill = machine(sigma=0.5), machine(sigma=0.5, spells=(Spell(to_s=50.0, fails_in_s=0.001),))
    later = [[each.serve(float(second)) for second in range(100)][50:] for each in (well, ill)]
    assert later[0] == later[1]
