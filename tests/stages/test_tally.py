"""Two questions about one request: the one that counts is asked last."""

from __future__ import annotations

import pytest

from balance.stages.tally import Tally, joined


class Asked:
    def __init__(self, lines: bytes | None, *, counts: bool) -> None:
        self.counts = counts
        self.lines = lines
        self.times = 0

    def admit(self, address: str, now: float) -> bytes | None:
        self.times += 1
        return self.lines


def both(one: Tally, other: Tally) -> Tally:
    made = joined(one, other)
    assert made is not None
    return made


@pytest.mark.parametrize("is_limit_first", [True, False])
@pytest.mark.parametrize(
    ("token", "limit", "said", "counted"), [(b"", b"L", b"L", 1), (None, b"L", None, 0), (b"", None, None, 1)]
)
def test_nothing_is_counted_where_the_other_does_not_admit(
    is_limit_first: bool, token: bytes | None, limit: bytes | None, said: bytes | None, counted: int
) -> None:
    one, other = Asked(limit, counts=True), Asked(token, counts=False)
    made = both(one, other) if is_limit_first else both(other, one)
    assert made.admit("192.0.2.1", 1.0) == said
    assert (one.times, made.counts) == (counted, True)


def test_two_that_count_are_not_asked_as_one() -> None:
    assert joined(Asked(b"", counts=True), Asked(b"", counts=True)) is None
    assert joined(Asked(b"", counts=False), None) is None
    assert not both(Asked(b"", counts=False), Asked(b"", counts=False)).counts
