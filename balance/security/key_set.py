"""A set of keys that comes from a URL, as the worker that verifies with it has it: the last good one, and who waits.

Somebody else fetches it (control). A token with a key that is not in the set asks for a newer one, but seldom: who makes up
names of keys causes no more fetches than one in each `cooldown_s`, and all others get their answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from balance.security.jwt_keys import VerifyingKey, jwks_keys

MAX_WAITING: Final = 256  # requests, in one worker, for one set
WAIT_S: Final = 3.0  # for a newer set, or for the first one


class JwksSource(NamedTuple):
    """Where a set comes from, and how often it is fetched."""

    url: str
    ca: str  # PEM, of the certificates to trust; "" for the system's
    refresh_s: float  # how old a set may become
    cooldown_s: float  # between two fetches that requests have asked for
    timeout_s: float  # of one fetch

    @property
    def name(self) -> str:
        """The URL without what may be secret in it, for logs, metrics and /status."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class KeyState(NamedTuple):
    """What has been fetched so far. Times are in seconds since the epoch."""

    text: str = ""  # the last good set; "" for none
    fetched_at: float = 0.0
    failure: str = ""  # of the last fetch, in words; "" after a good one
    failed_at: float = 0.0  # the last one that failed
    fetches: int = 0
    failures: int = 0  # of these
    too_soon: int = 0  # how often a newer set was asked for, and not fetched


NOTHING: Final = KeyState()
KeyStates = Mapping[JwksSource, KeyState]


class KeySet:
    """One source in one worker. `version` changes with the keys."""

    __slots__ = ("_ask", "_ask_again_at", "_asked_until", "_source", "_state", "_waiting", "keys", "version")

    def __init__(self, source: JwksSource, ask: Callable[[JwksSource], object]) -> None:
        """`ask` has the set fetched; update() follows."""
        self._source = source
        self._ask = ask
        self._state = NOTHING
        self._waiting: list[Callable[[], None]] = []
        self._asked_until = 0.0  # what was asked for may still come
        self._ask_again_at = 0.0
        self.keys: tuple[VerifyingKey, ...] = ()
        self.version = 0

    @property
    def failure(self) -> str:
        """Why there is no newer set; "" where there is no reason."""
        return self._state.failure

    def update(self, state: KeyState) -> None:
        """What is known now. Wakes all who wait."""
        if state.text != self._state.text:
            try:
                self.keys = tuple(jwks_keys(state.text)) if state.text else ()
            except ValueError:  # it was good where it was fetched
                self.keys = ()
            self.version += 1
        self._state = state
        self._asked_until = 0.0
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def wait_for_first(self, wake: Callable[[], None]) -> bool:
        """Have wake() called once there are keys, or it is known that none can be had. False: it is known, or too many wait."""
        return not self._state.failure and self._wait(wake)

    def wait_for_newer(self, wake: Callable[[], None], now: float) -> bool:
        """Have wake() called once a newer set has come, or could not be had. False: none is asked for, or too many wait."""
        if now >= self._ask_again_at:
            self._ask_again_at = now + self._source.cooldown_s
            self._asked_until = now + WAIT_S
            self._ask(self._source)
        return now < self._asked_until and self._wait(wake)

    def _wait(self, wake: Callable[[], None]) -> bool:
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(wake)
        return True


class KeySets:
    """Those of one worker, by their source."""

    __slots__ = ("_ask", "_sets", "_states")

    def __init__(self, ask: Callable[[JwksSource], object], states: KeyStates) -> None:
        self._ask = ask
        self._sets: dict[JwksSource, KeySet] = {}
        self._states = dict(states)

    def get(self, source: JwksSource) -> KeySet:
        """The one set of a source, also over reloads."""
        found = self._sets.get(source)
        if found is None:
            found = self._sets[source] = KeySet(source, self._ask)
            if source in self._states:
                found.update(self._states[source])
        return found

    def update(self, states: KeyStates) -> None:
        """All that is known now; of a source that is not among them nothing is. Whose state is as it was sleeps on."""
        before, self._states = self._states, dict(states)
        for source, key_set in list(self._sets.items()):
            state = states.get(source, NOTHING)
            if state != before.get(source, NOTHING):
                key_set.update(state)

    @classmethod
    def of_nobody(cls) -> KeySets:
        """For a process in which nobody fetches."""
        return cls(lambda source: None, {})
