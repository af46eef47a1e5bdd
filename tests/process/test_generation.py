"""What is remembered of the configurations that were served."""

from __future__ import annotations

from dataclasses import replace

import pytest
from child_contexts import context

from balance.process.generation import MAX_GENERATIONS, MAX_HISTORY_BYTES, Generation, trim_history


def generations(*sizes: int) -> list[Generation]:
    """Numbers count from 1; each text is so long."""
    first = context().generation
    return [
        replace(
            first,
            number=number,
            config=replace(first.config, workers=number),
            source=replace(first.source, text="x" * size),
        )
        for number, size in enumerate(sizes, 1)
    ]


@pytest.mark.parametrize(
    ("sizes", "numbers"),
    [
        ([1], [1]),
        ([1] * MAX_GENERATIONS, list(range(1, MAX_GENERATIONS + 1))),
        ([1] * (MAX_GENERATIONS + 3), list(range(4, MAX_GENERATIONS + 4))),
        ([MAX_HISTORY_BYTES, MAX_HISTORY_BYTES], [2]),
        ([MAX_HISTORY_BYTES - 1, 1, 1], [2, 3]),
        ([MAX_HISTORY_BYTES - 2, 1, 1], [1, 2, 3]),
        ([1, MAX_HISTORY_BYTES + 1], [2]),  # what is served is kept, however long
        ([1, MAX_HISTORY_BYTES, 1], [3]),  # none after a gap: a rollback goes one back
    ],
)
def test_the_newest_are_kept_as_far_as_there_is_room(sizes: list[int], numbers: list[int]) -> None:
    assert [generation.number for generation in trim_history(generations(*sizes))] == numbers


def test_of_those_that_say_the_same_one_after_the_other_the_newest_is_kept() -> None:
    first, second, third = generations(1, 1, 1)
    same = [first, replace(first, number=11), second, replace(second, number=12), replace(first, number=13), third]
    assert [generation.number for generation in trim_history(same)] == [11, 12, 13, 3]


def test_one_is_shown_with_where_it_came_from_and_whether_it_is_served() -> None:
    generation = context().generation
    seen = generation.info(1)
    assert (seen.number, seen.origin, seen.config, seen.made_at) == (1, "start", generation.config, generation.made_at)
    assert seen.is_current
    assert not generation.info(2).is_current
