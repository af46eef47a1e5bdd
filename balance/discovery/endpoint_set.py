"""Which endpoints a pool has: what is believed of its source's reports, and when it is served.

- A failure changes nothing, however long it lasts: not to know is not to know that there is nobody.
- An answer without anybody needs a second look, and with `on_empty: hold` has to stand for the hold as well.
- Changes wait for `debounce` after the last one, at most ten times as long after the first.
- The same set in another order is no change.

It is told the time, in seconds of one clock.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from balance.discovery.answer import Answer, Report, SourceFailure
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint, clean_name, name_of
from balance.discovery.settings import Discovery

MAX_ENDPOINTS: Final = 10_000  # of one pool; more is a mistake of the source, and would be one of ours
MAX_ABSENT: Final = 1000  # names that are remembered, the newest
LONGEST_DEBOUNCE: Final = 10  # times `debounce`
LOOKS: Final = 2  # empty answers that empty a pool
FIRST_RETRY_S: Final = 1.0  # after the supervisor has refused a set
LONGEST_RETRY_S: Final = 30.0


class Standing(enum.StrEnum):
    """How far the set that is served is what the source says."""

    WAITING = "waiting"  # nothing was heard yet
    FRESH = "fresh"  # it is the last answer
    STALE = "stale"  # it is older: the source fails, or says that there is nobody and is not believed yet
    FAILING = "failing"  # the source fails, and there is no set


class Result(enum.StrEnum):
    """What a report was, for metrics."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    EMPTY = "empty"  # an answer without anybody that is not believed yet
    FAILURE = "failure"


class EndpointSet:
    """Of one pool."""

    __slots__ = ("_absent", "_discovery", "_empty_looks", "_empty_since", "_first_change", "_is_failing", "_last_change",
                 "_retry_at", "_retry_s", "_served", "_wanted", "failed_at", "failure", "last_answer_at", "refusal",
                 "results", "since", "standing", "valid_s")  # fmt: skip

    def __init__(self, discovery: Discovery, now: float, known: DiscoveredPool | None = None) -> None:
        """`known` is what is served, when there was an answer before: by another control process, or another source."""
        self._discovery = discovery
        self._served: tuple[Endpoint, ...] | None = known.endpoints if known is not None else None
        self._wanted = self._served
        self._absent: dict[str, float] = dict.fromkeys(known.absent, now) if known is not None else {}  # since when
        self._empty_since: float | None = None
        self._empty_looks = 0
        self._first_change: float | None = None  # that is not served yet
        self._last_change = now
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self.refusal = ""  # why the last set is not served
        self.failure = ""  # of the last report
        self.failed_at: float | None = None
        self.last_answer_at: float | None = None
        self.valid_s: float | None = None  # by the last answer's own word
        self._is_failing = False
        self.results: Counter[Result] = Counter()
        self.standing = Standing.WAITING
        self.since = now
        if self._served:
            self._stand(Standing.STALE, now)

    def configure(self, discovery: Discovery) -> None:
        """Other times, or another source."""
        self._discovery = discovery

    @property
    def served(self) -> tuple[Endpoint, ...]:
        return self._served or ()

    @property
    def wanted(self) -> tuple[Endpoint, ...]:
        """What is believed; it is served soon."""
        return self._wanted or ()

    @property
    def is_held(self) -> bool:
        """Whether the source says that there is nobody, and is not believed yet."""
        return self._empty_since is not None

    def report(self, report: Report, now: float) -> Result:
        """The source has said something."""
        merged = self._merged(report)
        if isinstance(merged, SourceFailure):
            result = self._fail(merged.words, now)
        else:
            self.last_answer_at = now
            assert isinstance(report, Answer)
            self.valid_s = report.valid_s
            self.failure = "; ".join(report.partial)
            self.failed_at = now if report.partial else None
            self._is_failing = False
            result = self._answer(merged, now)
        self.results[result] += 1
        self._judge(now)
        return result

    def _merged(self, report: Report) -> tuple[Endpoint, ...] | SourceFailure:
        """The whole set that a report means: what could not be asked beside it stays as it was."""
        if isinstance(report, SourceFailure):
            return report
        if len(report.endpoints) > MAX_ENDPOINTS:
            return SourceFailure(f"{len(report.endpoints)} endpoints are more than the {MAX_ENDPOINTS} that a pool may have")
        merged = normalized(report.endpoints)
        if report.unasked:
            present = {each.key for each in merged}
            stays = [each for each in self.wanted if each.part in report.unasked and each.key not in present]
            merged = normalized([*merged, *stays])
        if not merged and report.unasked:  # one part knows nobody, and another was not there to ask
            return SourceFailure(f"{' and '.join(sorted(report.unasked))} could not be asked, and there is nobody else")
        return merged

    def _fail(self, words: str, now: float) -> Result:
        self.failure, self.failed_at, self._is_failing = words, now, True
        self._empty_since, self._empty_looks = None, 0  # whoever fails now does not stand by what he said
        return Result.FAILURE

    def _answer(self, merged: tuple[Endpoint, ...], now: float) -> Result:
        if not merged and self._wanted:
            if self._empty_since is None:
                self._empty_since = now
            self._empty_looks += 1
            return Result.CHANGED if self._believe_empty(now) else Result.EMPTY
        self._empty_since, self._empty_looks = None, 0
        return self._want(merged, now)

    def _believe_empty(self, now: float) -> bool:
        if self._empty_since is None or now < self._empty_due:
            return False
        self._empty_since, self._empty_looks = None, 0
        self._want((), now)
        return True

    @property
    def _empty_due(self) -> float:
        """When an answer without anybody is believed."""
        if self._empty_since is None or self._empty_looks < LOOKS:
            return float("inf")
        return self._empty_since + (0.0 if self._discovery.on_empty == "empty" else self._discovery.hold_s)

    def _want(self, wanted: tuple[Endpoint, ...], now: float) -> Result:
        if wanted == self._wanted:
            self._wanted = wanted  # with the parts that they are from now
            return Result.UNCHANGED
        if self._wanted is None and not wanted:
            self._served = ()  # there is nothing to lay over anything
        self._wanted = wanted
        self._retry_at, self._retry_s, self.refusal = 0.0, FIRST_RETRY_S, ""
        if wanted == self._served:
            self._first_change = None  # it is back where it was
            return Result.UNCHANGED
        self._first_change = now if self._first_change is None else self._first_change
        self._last_change = now
        return Result.CHANGED

    def _judge(self, now: float) -> None:
        if self._wanted is None:
            self._stand(Standing.FAILING if self.failure else Standing.WAITING, now)
        elif self._is_failing:
            self._stand(Standing.STALE if self._wanted else Standing.FAILING, now)
        else:
            self._stand(Standing.STALE if self._empty_since is not None else Standing.FRESH, now)

    def _stand(self, standing: Standing, now: float) -> None:
        if standing is not self.standing:
            self.standing, self.since = standing, now

    # --- serving ----------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When take() may have something; infinity while nothing is pending."""
        due = self._empty_due
        if self._first_change is not None:
            debounce_s = self._discovery.debounce_s if self._served is not None else 0.0  # who has nobody is not kept waiting
            changed = min(self._last_change + debounce_s, self._first_change + LONGEST_DEBOUNCE * debounce_s)
            due = min(due, max(changed, self._retry_at))
        return due

    def take(self, now: float, pool: str) -> DiscoveredPool | None:
        """The set to serve now; None when none is due."""
        if now >= self._empty_due:
            self._believe_empty(now)
            self._judge(now)
        if self._first_change is None or now < self.due or self._wanted is None:
            return None
        known = {name for name, since in self._absent.items() if now < since + self._discovery.hold_s}
        returning = tuple(each.key for each in self._wanted if each.key in known)
        return DiscoveredPool(pool, self._wanted, tuple(self._absent_beside(self._wanted, now)), returning=returning)

    def _absent_beside(self, endpoints: tuple[Endpoint, ...], now: float) -> dict[str, float]:
        present = {each.key for each in endpoints}
        absent = {name: since for name, since in self._absent.items() if now < since + self._discovery.hold_s}
        absent |= {each.key: now for each in self.served if each.key not in present}
        found = [(name, since) for name, since in absent.items() if name not in present]
        return dict(found[-MAX_ABSENT:])

    def was_served(self, taken: DiscoveredPool, now: float) -> None:
        """The supervisor serves what take() gave."""
        self._absent = self._absent_beside(taken.endpoints, now)
        self._served = taken.endpoints
        self._retry_at, self._retry_s, self.refusal = 0.0, FIRST_RETRY_S, ""
        if self._served == self._wanted:
            self._first_change = None

    def was_refused(self, why: str, now: float) -> None:
        """It does not: it is asked again, later each time."""
        self.refusal = why
        self._retry_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)


def normalized(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Each address once and each name once, in the order of the names. Of two with one address the first stays; of two with one
    name the later is called by its address. Names are such as backends have.
    """
    by_address: dict[str, Endpoint] = {}
    for each in endpoints:
        by_address.setdefault(each.address, each)
    by_name: dict[str, Endpoint] = {}
    for each in by_address.values():
        name = clean_name(each.name) or name_of(each.address)
        name = name if name not in by_name else name_of(each.address)
        if name not in by_name:
            by_name[name] = each if each.name == name else replace(each, name=name)
    return tuple(by_name[name] for name in sorted(by_name))
