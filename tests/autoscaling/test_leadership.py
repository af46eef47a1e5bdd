"""What Redis answers to the scripts of leadership, and what nobody should take for an answer."""

from __future__ import annotations

import pytest

from balance.autoscaling.leadership import State, load_text, state_of, turn_of
from balance.autoscaling.load_meter import Load


def test_a_reply_is_a_turn() -> None:
    told = b"100 10.000 2.000 10.000 500.000\n200 5.000 1.000 0.000 0.000"
    reply = [b"7", b"7 host:1:ab", b'5 9000 {"desired":4,"done":false}', b"10000", told]
    turn = turn_of(reply, 15.0)
    assert (turn.token, turn.leader, turn.balancers, turn.is_partial) == (7, "host:1:ab", 2, False)
    assert turn.state == State(4, 5, 1.0, is_done=False)
    assert turn.load == Load(15.0, 3.0, 10.0, 500.0)


def test_a_balancer_that_is_silent_makes_the_sum_a_part() -> None:
    turn = turn_of([b"0", b"8 other", b"", b"10000", b"50000 9 9 9 9\n10 1 0 0 0"], 15.0)
    assert turn.is_partial and turn.load == Load(1.0, 0.0, 0.0, 0.0) and turn.balancers == 2
    assert turn.state == State()


@pytest.mark.parametrize(
    "reply",
    [None, b"OK", [], [b"1"], [1, 2, 3, 4, 5], [b"x", b"", b"", b"1", b""], [b"1", b"", b"", b"1", b"5 nan 0 0 0"],
     [b"1", b"", b"", b"1", b"5 1 2"], [b"1", b"", b"", b"1", b"5 -1 0 0 0"]],
)  # fmt: skip
def test_what_is_no_reply_is_refused(reply: object) -> None:
    with pytest.raises(ValueError):
        turn_of(reply, 15.0)


@pytest.mark.parametrize("text", ["", "x", "1 2", "1 2 {}", '1 2 {"desired":"many","done":1}', "1 2 [", "a b c", "1 2 null"])
def test_a_state_that_cannot_be_read_is_none(text: str) -> None:
    assert state_of(text, 1000) == State()


def test_a_load_that_is_not_known_is_not_told() -> None:
    assert load_text(None) == "" and load_text(Load(1, 2, 3, 4)) == "1.000 2.000 3.000 4.000"
