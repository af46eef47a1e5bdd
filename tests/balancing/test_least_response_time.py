"""least-response-time: the faster of two random backends."""

import random
from collections import Counter

import pytest

from balance.balancing.least_response_time import LeastResponseTime
from balance.load import Load


def load(latency_s: float, weight: int = 1, active: int = 0) -> Load:
    made = Load(weight, active)
    made.record_latency(latency_s, True, 0.0)
    return made


def chosen(loads: list[Load], now: float = 0.0) -> set[int]:
    policy = LeastResponseTime(random.Random(1).random)
    policy.rebuild(loads)
    return {policy.pick(b"", (), now) for _ in range(50)}


@pytest.mark.parametrize(
    ("loads", "sooner"),
    [
        ([load(0.01), load(0.02)], 0),
        ([load(0.01, active=2), load(0.02)], 1),
        ([load(0.01, active=2), load(0.02, active=1)], 0),
        ([load(0.03, weight=4), load(0.01)], 0),
    ],
)
def test_of_two_the_one_that_answers_sooner_for_its_weight_is_picked(loads: list[Load], sooner: int) -> None:
    assert chosen(loads) == {sooner}


def test_unknown_one_is_tried_once() -> None:
    loads = [load(0.02), Load()]
    assert chosen(loads) == {1}
    loads[1].active = 1
    assert chosen(loads) == {0}


def test_slow_one_is_tried_again_when_it_has_been_left_alone_for_long() -> None:
    loads = [load(0.2), load(0.02)]
    assert chosen(loads, 0.0) == {1}
    for number in range(1, 400):
        loads[1].record_latency(0.02, True, number / 10)
    assert chosen(loads, 40.0) == {0}


def test_slowest_of_many_is_never_picked() -> None:
    policy = LeastResponseTime(random.Random(1).random)
    policy.rebuild([load(0.01 * (1 + number)) for number in range(10)])
    seen = Counter(policy.pick(b"", (), 0.0) for _ in range(1000))
    assert seen[9] == 0
    assert seen[0] == max(seen.values())
