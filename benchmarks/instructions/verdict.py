"""Compares a count with its reference. Does not run valgrind."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

BOUND = 0.03  # counts repeat to 0.4 %: where objects lie in memory decides which of CPython's caches collide


class Judged(enum.Enum):
    """What becomes of a scenario."""

    SAME = "ok"
    MORE = "TOO MANY"
    LESS = "fewer: run with --write"
    NEW = "nothing to compare with"
    UNKNOWN = "NO COUNT: run with --write"
    GONE = "NO SUCH SCENARIO: run with --write"


FAILURES = frozenset((Judged.MORE, Judged.UNKNOWN, Judged.GONE))


@dataclass(frozen=True)
class Row:
    """One scenario: instructions for one of what it does. None where there is no such count."""

    scenario: str
    counted: int | None
    held_to: int | None
    judged: Judged

    def __str__(self) -> str:
        counted, held_to = (f"{count:,}" if count else "-" for count in (self.counted, self.held_to))
        more = f"{self.counted / self.held_to - 1:+.1%}" if self.counted and self.held_to else ""
        return f"{self.scenario:26} {counted:>10} {held_to:>10} {more:>7}  {self.judged.value}"


def judge(counted: Mapping[str, int], held_to: Mapping[str, int], *, is_committed: bool) -> list[Row]:
    """Every scenario of either. `is_committed`: they are held to counts that somebody wrote down, which must be complete."""
    rows = []
    for scenario, count in counted.items():
        before = held_to.get(scenario)
        if before is None:
            judged = Judged.UNKNOWN if is_committed else Judged.NEW
        elif count > before * (1 + BOUND):
            judged = Judged.MORE
        elif count < before * (1 - BOUND):
            judged = Judged.LESS
        else:
            judged = Judged.SAME
        rows.append(Row(scenario, count, before, judged))
    if is_committed:
        rows += [Row(name, None, count, Judged.GONE) for name, count in held_to.items() if name not in counted]
    return rows


def per_time(once: int, twice: int, times: int) -> int:
    """What one of them takes, when so many took `once` and two times as many took `twice`, overhead included in both."""
    return round((twice - once) / times)
