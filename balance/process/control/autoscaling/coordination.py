"""Who decides about a pool, and what the last change was: this balancer alone, or one of several by Redis."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from balance.autoscaling.leadership import State, Turn
from balance.autoscaling.load_meter import Load
from balance.shared_store.failures import StoreError


class Coordination(ABC):
    """Of one pool."""

    @abstractmethod
    async def sync(self, load: Load | None, interval_s: float) -> Turn:
        """Who leads now. A failure is a Turn without a token: nobody here may act."""

    @abstractmethod
    async def write(self, turn: Turn, state: State) -> bool:
        """Note a change. False: not any more the leader, or it could not be noted; then nothing may be done."""

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """It is not used any more."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The last change as the supervisor keeps it for the next control. It is plain data, for an upgrade."""

    desired: int
    token: int
    at: float  # seconds since the epoch
    is_done: bool


class Alone(Coordination):
    """Without Redis: it leads always. The token grows with each change, over restarts of control."""

    def __init__(self, pool: str, remembered: Remembered | None, remember: Callable[[str, Remembered], object]) -> None:
        self._pool = pool
        self._last = remembered
        self._remember = remember
        self._token = max(int(time.time()), remembered.token + 1 if remembered is not None else 0)

    async def sync(self, load: Load | None, interval_s: float) -> Turn:
        state = State()
        if self._last is not None:
            # A clock that was set back makes it as if the change were just made: the cooldown lasts, and is not over.
            age_s = max(0.0, time.time() - self._last.at)
            state = State(self._last.desired, self._last.token, age_s, self._last.is_done)
        return Turn(self._token, "this one", state, load)

    async def write(self, turn: Turn, state: State) -> bool:
        self._last = Remembered(state.desired, turn.token, time.time(), state.is_done)
        self._remember(self._pool, self._last)
        return True


class Leadership(Protocol):
    """RedisLeadership, which is imported where it is configured."""

    async def sync(self, load: Load | None, interval_s: float) -> Turn: ...
    async def write(self, token: int, state: State) -> bool: ...
    def close(self) -> None: ...


class Together(Coordination):
    """Through Redis."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._last = Turn(0)

    async def sync(self, load: Load | None, interval_s: float) -> Turn:
        try:
            self._last = await self._leadership.sync(load, interval_s)
        except StoreError as error:
            # What is known of the last change stays known, for whoever looks.
            return replace(self._last, token=0, leader="", load=None, failure=str(error))
        return self._last

    async def write(self, turn: Turn, state: State) -> bool:
        try:
            return await self._leadership.write(turn.token, state)
        except StoreError:
            return False

    def close(self) -> None:
        self._leadership.close()
