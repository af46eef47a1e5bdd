"""Every state of a backend has a row."""

from balance.health.states import State
from balance.words.states import STATES


def test_every_state_has_its_row() -> None:
    assert set(STATES) == {state.word for state in State} | {"unchecked"}


def test_every_row_says_something() -> None:
    assert all(len(row.meaning) > 5 and row.change for row in STATES.values())
