"""The processes of one pool, told by what happens to them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from balance.autoscaling.crash_loop import MAX_CRASHES, STABLE_S, STOPPED_S
from balance.autoscaling.fleet import MAX_STARTS, START_TIMEOUT_S, Fleet, Instance, Phase, Step, Todo


def serving(count: int, *, drain_s: float = 20.0) -> Fleet:
    fleet = Fleet(drain_s, desired=count)
    for number, todo in enumerate(fleet.steps(0.0)):
        fleet.passed(todo.name, float(number))
    return fleet


def test_it_starts_what_is_wanted_and_each_joins_by_its_own_check() -> None:
    fleet = Fleet(20.0, desired=2)
    assert fleet.steps(0.0) == [Todo(Step.START, "auto-1"), Todo(Step.START, "auto-2")]
    assert fleet.steps(1.0) == []
    assert fleet.passed("auto-2", 2.0) and not fleet.passed("auto-2", 3.0)
    assert [each.name for each in fleet.phase(Phase.SERVING)] == ["auto-2"]


def test_the_youngest_leaves_drains_and_is_stopped_when_it_has_nothing_more() -> None:
    fleet = serving(3)
    fleet.desired = 2
    assert fleet.steps(10.0) == []
    assert [each.name for each in fleet.phase(Phase.DRAINING)] == ["auto-3"]
    assert fleet.idle("auto-3", 11.0) == [Todo(Step.STOP, "auto-3")]
    assert fleet.ended("auto-3", "exit status 0", 12.0) is None
    assert list(fleet.instances) == ["auto-1", "auto-2"]


def test_one_that_does_not_become_idle_is_stopped_after_the_drain() -> None:
    fleet = serving(2)
    fleet.desired = 1
    fleet.steps(10.0)
    assert fleet.steps(29.9) == [] and fleet.steps(30.0) == [Todo(Step.STOP, "auto-2")]


def test_one_that_does_not_serve_yet_is_stopped_before_one_that_does() -> None:
    fleet = serving(1)
    fleet.desired = 2
    fleet.steps(5.0)
    fleet.desired = 1
    assert fleet.steps(6.0) == [Todo(Step.STOP, "auto-2")]


def test_one_that_never_passes_is_a_crash() -> None:
    fleet = Fleet(20.0, desired=1)
    fleet.steps(0.0)
    assert fleet.steps(START_TIMEOUT_S) == [Todo(Step.STOP, "auto-1")]
    assert fleet.crash_loop.crashes == 1
    assert fleet.steps(START_TIMEOUT_S + 1.0) == [Todo(Step.START, "auto-2")]


def test_a_crash_loop_tries_one_at_a_time_and_stops() -> None:
    fleet, now, starts = Fleet(20.0, desired=8), 0.0, 0
    while now < STOPPED_S - 1:
        for todo in fleet.steps(now):
            starts += 1
            fleet.ended(todo.name, "exit status 1", now)
        now += 0.5
    assert starts == 8  # the first lot; all of these crash within their pause
    assert fleet.crash_loop.is_stopped
    assert fleet.steps(STOPPED_S + 1) and len(list(fleet.phase(Phase.STARTING))) == 1


def test_a_few_crashes_among_many_that_serve_do_not_hide_behind_the_old_ones() -> None:
    """A new version of the program that crashes beside old processes: their age says nothing about it."""
    fleet = serving(2)
    fleet.steps(STABLE_S * 10)
    fleet.desired = 3
    now = STABLE_S * 10
    for _ in range(MAX_CRASHES):
        (todo,) = fleet.steps(now)
        fleet.ended(todo.name, "exit status 1", now)
        now = fleet.crash_loop.not_before
    assert fleet.crash_loop.is_stopped


def test_a_restarted_control_adopts_and_starts_nothing_twice() -> None:
    fleet = Fleet(20.0, desired=2)
    fleet.adopt(Instance("auto-7", Phase.SERVING, 0.0, 4007, 70))
    fleet.adopt(Instance("auto-9", Phase.STARTING, 0.0, 4009, 90))
    fleet.adopt(Instance("auto-8", Phase.STOPPING, 0.0, 4008, 80))
    assert fleet.steps(0.0) == []
    fleet.desired = 3
    assert fleet.steps(1.0) == [Todo(Step.START, "auto-10")]


def test_hundreds_are_started_some_at_a_time() -> None:
    assert len(Fleet(20.0, desired=300).steps(0.0)) == MAX_STARTS


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["pass", "end", "idle", "want", "wait"]), st.integers(0, 12)), max_size=80))
def test_whatever_happens_no_name_comes_twice_and_no_more_run_than_are_wanted(events: list[tuple[str, int]]) -> None:
    fleet, now = Fleet(20.0, desired=3), 0.0
    seen: set[str] = set()
    for event, number in events:
        names = list(fleet.instances)
        name = names[number % len(names)] if names else "auto-0"
        match event:
            case "pass":
                fleet.passed(name, now)
            case "end":
                fleet.ended(name, "exit status 1", now)
            case "idle":
                fleet.idle(name, now)
            case "want":
                fleet.desired = number
            case "wait":
                now += number * 7
        for todo in fleet.steps(now):
            if todo.step is Step.START:
                assert todo.name not in seen
                seen.add(todo.name)
        assert fleet.count(Phase.STARTING, Phase.SERVING) <= max(fleet.desired, 0)


def test_another_command_replaces_the_processes_new_ones_first() -> None:
    fleet = serving(2)
    fleet.recipe = "new"
    first, second = [todo.name for todo in fleet.steps(10.0)]
    assert fleet.count(Phase.SERVING) == 2  # the old ones serve on
    fleet.passed(first, 11.0)
    fleet.steps(11.0)
    assert [each.name for each in fleet.phase(Phase.DRAINING)] == ["auto-2"]
    fleet.passed(second, 12.0)
    fleet.steps(12.0)
    assert [each.name for each in fleet.phase(Phase.SERVING)] == [first, second]
