"""What the log and the events say of a pool's discovery: each change of its standing once, and changes of its set at most once
in ten seconds, summed up. A source that never rests must not drown the rest."""

from __future__ import annotations

import logging
from typing import Final

from balance.admin.events.history import EventLog
from balance.discovery.endpoint import Endpoint
from balance.discovery.endpoint_set import EndpointSet, Standing
from balance.process.control.discovery.source import Source

log = logging.getLogger("balance.control")

INTERVAL_S: Final = 10.0
REWORD_S: Final = 60.0  # of a failure that goes on in other words: some change them with every try
ENDS: Final = "about to end"  # of the supervisor's words, when it takes no orders any more
MAX_NAMED: Final = 5


class ChangeLog:
    """Of one pool."""

    __slots__ = ("_added", "_changed", "_events", "_failed_at", "_failure", "_is_held", "_pool", "_refusal", "_removed",
                 "_said_at", "_source", "_standing")  # fmt: skip

    def __init__(self, pool: str, source: Source, events: EventLog) -> None:
        self._pool = pool
        self._source = source
        self._events = events
        self._standing: Standing | None = None
        self._failure = ""
        self._failed_at = 0.0  # when its words were said
        self._refusal = ""
        self._is_held = False
        self._said_at = -INTERVAL_S
        self._added: set[str] = set()
        self._removed: set[str] = set()
        self._changed: set[str] = set()

    @property
    def _name(self) -> str:
        return f"discovery of pool {self._pool} ({self._source.kind} {self._source.where})"

    def reported(self, endpoints: EndpointSet, now: float) -> None:
        """After each report: a new standing, or other words; and what was not said of the set yet."""
        if self._added or self._removed or self._changed:
            self._say_changes(len(endpoints.served), now)
        standing, failure = endpoints.standing, endpoints.failure
        is_same = standing is self._standing and endpoints.is_held == self._is_held and bool(failure) == bool(self._failure)
        if is_same and (failure == self._failure or now < self._failed_at + REWORD_S):
            return
        before, self._failed_at = self._standing, now
        self._standing, self._failure, self._is_held = standing, failure, endpoints.is_held
        count = len(endpoints.wanted)
        stay = f"the {count} that {'was' if count == 1 else 'were'} found last stay{'s' if count == 1 else ''}"
        if failure and (standing is Standing.FRESH or endpoints.is_held):
            self._say(logging.WARNING, f"{self._name} answers in part: {failure}", standing, failure)
        elif failure:
            text = f"{self._name} fails: {failure}; {stay if count else 'nobody is known'}"
            self._say(logging.WARNING, text, standing, failure)
        elif endpoints.is_held:
            self._say(logging.WARNING, f"{self._name} says that there is nobody; {stay} until that has stood", standing, "")
        elif not count and before is not Standing.WAITING and before is not None:
            self._say(logging.WARNING, f"{self._name} says that there is nobody, and so the pool is empty", standing, "")
        else:
            self._say(logging.INFO, f"{self._name} answers: {count} endpoint{'s' * (count != 1)}", standing, "")

    def served(self, before: tuple[Endpoint, ...], after: tuple[Endpoint, ...], now: float) -> None:
        """Another set is served."""
        old, new = {each.key: each for each in before}, {each.key: each for each in after}
        added, removed = new.keys() - old.keys(), old.keys() - new.keys()
        self._added = (self._added | added) - removed
        self._removed = (self._removed | removed) - added
        self._changed |= {name for name in new.keys() & old.keys() if new[name] != old[name]}
        if self._refusal:
            self._refusal = ""
            log.info("%s: what it finds is served again", self._name)
        self._say_changes(len(after), now)

    def _say_changes(self, count: int, now: float) -> None:
        if now < self._said_at + INTERVAL_S:
            return
        self._said_at = now
        parts = [
            f"{sign}{len(names)} ({', '.join(sorted(names)[:MAX_NAMED])}{', ...' if len(names) > MAX_NAMED else ''})"
            for sign, names in (("+", self._added), ("-", self._removed), ("~", self._changed))
            if names
        ]
        counts = {"added": len(self._added), "removed": len(self._removed), "changed": len(self._changed)}
        self._added, self._removed, self._changed = set(), set(), set()
        text = f"pool {self._pool} has {count} discovered backend{'s' * (count != 1)}: {' '.join(parts) or 'as before'}"
        log.info("%s", text)
        self._events.publish("discovery", text, pool=self._pool, endpoints=count, **counts)

    def refused(self, why: str) -> None:
        """The supervisor does not serve it."""
        if ENDS in why:
            return  # which is said elsewhere, and no matter of what was found
        if why != self._refusal:
            self._refusal = why
            text = f"{self._name}: what it finds can't be served, the last set stays: {why}"
            log.error("%s", text)
            self._events.publish("discovery", text, pool=self._pool, state=str(self._standing or ""), why=why)

    def _say(self, level: int, text: str, standing: Standing, why: str) -> None:
        log.log(level, "%s", text)
        self._events.publish("discovery", text, pool=self._pool, state=standing.value, why=why)
