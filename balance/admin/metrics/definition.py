"""What a metric is: its name, kind, labels and meaning, and what to do about it. Scrapes and documentation are made from it."""

from __future__ import annotations

from typing import Final, NamedTuple

Labels = dict[str, str]  # of a sample: values by name

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"


class Definition(NamedTuple):
    """One metric. A counter's name ends in `_total`; the unit, where there is one, is the last word of the rest."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    advice: str = ""  # what to do about it
    shown: str = ""  # when it is there; empty: always

    @property
    def unit(self) -> str:
        """`seconds`, `bytes`, or nothing."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""


BACKEND: Final = ("pool", "backend")
ROUTE: Final = ("listener", "route")
