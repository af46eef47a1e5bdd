"""Keeps the sets of keys of the configuration fresh, one fetch for all workers: by time, and when a worker asks for one.

What fails keeps the last good set, is tried again with growing pauses, and is said once. Each fetch is a daemon thread: a
resolver that hangs blocks neither the loop nor the exit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import random
from time import time

from balance.config.model import Config
from balance.model import Mode
from balance.process.control.key_fetch import Fetched, FetchError, KeyFetch
from balance.security.key_schedule import MIN_LIFE_S, refresh_after_s, retry_after_s
from balance.security.key_set import NOTHING, JwksSource, KeyState, KeyStates

log = logging.getLogger("balance.control")

GRACE_S = 1.0  # beyond the time of a fetch, for a thread that can't be ended


def sources(config: Config) -> Iterator[JwksSource]:
    """Every URL of keys of a configuration, with how it is fetched; some more than once."""
    for listener in config.listeners:
        if listener.mode is Mode.HTTP:
            securities = [route.security for route in listener.http.routes] or [listener.security]
            for security in securities:
                source = security.jwt.jwks_source
                if source is not None:
                    yield source


class KeyRefresh:
    """One in control. `told` gets all that is known whenever some of it changes, or was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, states: KeyStates, told: Callable[[KeyStates], object]) -> None:
        """`states` are known from before."""
        self._loop = loop
        self._told = told
        self._before = dict(states)
        self._sets: dict[JwksSource, _Refresh] = {}

    @property
    def states(self) -> dict[JwksSource, KeyState]:
        """Of the sources that are in use."""
        return {source: refresh.state for source, refresh in self._sets.items()}

    def update(self, config: Config) -> None:
        """From now on keep the sets of this configuration."""
        wanted = dict.fromkeys(sources(config))
        gone = [source for source in self._sets if source not in wanted]
        for source in gone:
            self._sets.pop(source).stop()
        for source in wanted:
            if source not in self._sets:
                refresh = self._sets[source] = _Refresh(self._loop, source, self._before.get(source, NOTHING), self._tell)
                refresh.start()
        self._before = {}
        if gone:
            self._tell()

    def fetch_newer(self, source: JwksSource) -> None:
        """A token's key is not in the set that a worker has."""
        if source in self._sets:
            self._sets[source].fetch_newer()

    def _tell(self) -> None:
        self._told(self.states)


class _Refresh:
    """The one of a source."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, source: JwksSource, state: KeyState, tell: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._source = source
        self.state = state
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._fetch: KeyFetch | None = None  # under way
        self._cool_at = 0.0  # requests may ask for a fetch again from then on
        self._failed = 0  # in a row

    def start(self) -> None:
        """Fetch at once, unless the set that is known from before is fresh."""
        life = min(MIN_LIFE_S, self._source.refresh_s)
        left = self.state.fetched_at + life - time()
        if self.state.text and not self.state.failure and 0 < left <= life:
            self._plan(left)
        else:
            self._begin()

    def stop(self) -> None:
        """No more of it."""
        if self._timer is not None:
            self._timer.cancel()
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            fetch.close()

    def fetch_newer(self) -> None:
        """Fetch now, but not for requests again and again; whoever asks is told in any case."""
        if self._fetch is not None:
            return  # what comes is new enough
        if self._loop.time() < self._cool_at:
            self.state = self.state._replace(too_soon=self.state.too_soon + 1)
            self._tell()
            return
        self._begin()

    def _plan(self, after_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(after_s, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        fetch = self._fetch = KeyFetch(self._source)
        self._cool_at = self._loop.time() + self._source.cooldown_s
        self._timer = self._loop.call_later(self._source.timeout_s + GRACE_S, self._give_up, fetch)
        threading.Thread(target=self._run, args=(fetch,), name="key-fetch", daemon=True).start()

    def _run(self, fetch: KeyFetch) -> None:
        """In the thread."""
        result: Fetched | FetchError
        try:
            result = fetch.run()
        except FetchError as error:
            result = error
        except Exception as error:  # a bug must not end the refreshing
            result = FetchError(type(error).__name__)
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._done, fetch, result)

    def _give_up(self, fetch: KeyFetch) -> None:
        fetch.close()
        self._done(fetch, FetchError(f"no answer within {self._source.timeout_s:g}s"))

    def _done(self, fetch: KeyFetch, result: Fetched | FetchError) -> None:
        if self._fetch is not fetch:
            return  # given up before
        self._fetch = None
        state, now = self.state, time()
        name, fetches = self._source.name, state.fetches + 1
        if isinstance(result, Fetched):
            if state.failure:
                log.info("keys of tokens from %s: fetched again", name)
            elif result.text != state.text:
                log.info("keys of tokens from %s: %s", name, "have changed" if state.text else "fetched")
            self._failed = 0
            self.state = state._replace(text=result.text, fetched_at=now, failure="", fetches=fetches)
            self._plan(refresh_after_s(result.life_s, random()))
        else:
            self._failed += 1
            words = str(result)
            if words != state.failure:
                kept = "the last good ones stay" if state.text else "requests with tokens are answered 503 until they come"
                log.warning("keys of tokens from %s can't be fetched: %s; %s", name, words, kept)
            self.state = state._replace(failure=words, failed_at=now, fetches=fetches, failures=state.failures + 1)
            self._plan(retry_after_s(self._failed, self._source.refresh_s, random()))
        self._tell()
