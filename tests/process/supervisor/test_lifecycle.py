"""The tables of phases: no signal and no deadline leads nowhere."""

import signal

import pytest

from balance.health.readiness import Stage
from balance.process.supervisor.lifecycle import AFTER_DEADLINE, AFTER_FIRST_SIGNAL, AFTER_SIGNAL, LifecyclePhase

ENDING = [LifecyclePhase.SHUTDOWN_DELAY, LifecyclePhase.DRAINING, LifecyclePhase.CLOSING]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("phase", ENDING)
def test_a_second_signal_of_either_kind_kills(phase: LifecyclePhase, signum: signal.Signals) -> None:
    assert AFTER_SIGNAL[phase, signum] is LifecyclePhase.KILLING


def test_after_a_stop_that_was_ordered_the_first_signal_ends_no_more_than_the_delay() -> None:
    assert AFTER_FIRST_SIGNAL == {(LifecyclePhase.SHUTDOWN_DELAY, signal.SIGINT): LifecyclePhase.DRAINING}


def test_only_sigterm_grants_the_delay() -> None:
    assert AFTER_SIGNAL[LifecyclePhase.SERVING, signal.SIGTERM] is LifecyclePhase.SHUTDOWN_DELAY
    assert AFTER_SIGNAL[LifecyclePhase.SERVING, signal.SIGINT] is LifecyclePhase.DRAINING


def test_whoever_kills_or_is_over_takes_no_more_signals() -> None:
    assert {phase for phase, _ in AFTER_SIGNAL} == set(LifecyclePhase) - {LifecyclePhase.KILLING, LifecyclePhase.OVER}


def test_every_phase_on_the_way_out_has_an_end_of_its_own() -> None:
    assert set(AFTER_DEADLINE) == {*ENDING, LifecyclePhase.HANDED_OVER}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_whoever_has_been_replaced_drains_by_a_signal_in_the_time_of_a_stop(signum: signal.Signals) -> None:
    assert AFTER_SIGNAL[LifecyclePhase.HANDED_OVER, signum] is LifecyclePhase.DRAINING


def test_nobody_is_replaced_once_draining_has_begun() -> None:
    assert [phase for phase in LifecyclePhase if phase.restarts_children] == [
        LifecyclePhase.SERVING,
        LifecyclePhase.SHUTDOWN_DELAY,
    ]


def test_the_outside_sees_three_stages() -> None:
    assert [phase.stage for phase in (LifecyclePhase.STARTING, LifecyclePhase.SERVING)] == [Stage.STARTING, Stage.SERVING]
    assert {phase.stage for phase in list(LifecyclePhase)[2:]} == {Stage.DRAINING}
