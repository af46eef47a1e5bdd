"""Panic mode."""

import pytest

from balance.health.panic import is_panic
from balance.health.states import State

U, H, X, E, R, D, M = State


@pytest.mark.parametrize(
    ("states", "threshold", "panics"),
    [
        ([H, X, X], 50, True),
        ([H, H, X], 50, False),
        ([H, X], 50, False),
        ([X, X], 50, True),
        ([X, X], 0, False),
        ([H, E, R], 50, True),
        ([U, U, X], 50, False),
        ([H, D, M, D], 50, False),
        ([D, M], 100, False),
        ([H, H], 100, False),
        ([], 50, False),
    ],
)
def test_fewer_ready_than_the_threshold_is_panic(states: list[State], threshold: int, panics: bool) -> None:
    assert is_panic(states, threshold) is panics


@pytest.mark.parametrize(
    ("states", "backups", "panics"),
    [
        ([X, X], [H], False),
        ([X, X], [U, X], False),
        ([X, X], [X], True),
        ([X, X], [R], True),
        ([X, X], [D], True),
        ([H, X, X], [H], True),
        ([D, X], [H], False),
    ],
)
def test_where_nobody_is_ready_a_backup_that_is_prevents_it(states: list[State], backups: list[State], panics: bool) -> None:
    assert is_panic(states, 50, backups) is panics
