"""The event log: a bounded history and bounded subscribers; a slow subscriber is dropped.

An event's number is its time in milliseconds, or one more than the last number. So `since` works across a restart of control.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

HISTORY = 200
MAX_SUBSCRIBERS = 32
MAX_WAITING = 256  # for one subscriber; more than the history, so that its replay always fits


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event. `fields` is for machines, `text` for people."""

    number: int
    at: float  # seconds since the epoch
    kind: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


class EventLog:
    """The history and the subscribers of one process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0
        self._history: deque[LoggedEvent] = deque(maxlen=HISTORY)
        self._subscriptions: set[Subscription] = set()
        self.look: Callable[[], object] | None = None  # publishes what has happened since it was called last

    def publish(self, kind: str, text: str, **fields: Any) -> None:
        """Add an event. Never blocks: a subscriber whose queue is full is dropped."""
        now = self._clock()
        self._last = max(self._last + 1, int(now * 1000))
        event = LoggedEvent(self._last, now, kind, text, fields)
        self._history.append(event)
        for subscription in list(self._subscriptions):
            if not subscription.put(event):
                subscription.drop()

    def since(self, number: int) -> list[LoggedEvent]:
        """The remembered events after that number: all that has happened, so that who gave an order reads of it here."""
        if self.look is not None:
            self.look()
        return [event for event in self._history if event.number > number]

    def subscribe(self, since: int | None, dropped: Callable[[], object] | None = None) -> Subscription | None:
        """Subscribe, after a replay of the events after `since`. None when there are too many subscribers.

        `dropped` is called when the subscriber is too slow, from within publish().
        """
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            return None
        subscription = Subscription(self._subscriptions, dropped)
        for event in self.since(since) if since is not None else ():
            subscription.put(event)
        return subscription

    def close(self) -> None:
        """End every subscription once its queue is read."""
        for subscription in list(self._subscriptions):
            subscription.close_after_queue()


class Subscription:
    """One subscriber's queue; a context manager."""

    def __init__(self, subscriptions: set[Subscription], dropped: Callable[[], object] | None) -> None:
        self._subscriptions = subscriptions
        self._dropped = dropped
        self._waiting: list[LoggedEvent] = []
        self._has_events = asyncio.Event()
        self._is_ended = False
        subscriptions.add(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def put(self, event: LoggedEvent) -> bool:
        """Queue one event. False when the queue is full."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(event)
        self._has_events.set()
        return True

    def drop(self) -> None:
        """The subscriber is too slow."""
        self.close()
        if self._dropped is not None:
            self._dropped()

    def close_after_queue(self) -> None:
        """End once the queue is read."""
        self._subscriptions.discard(self)
        self._is_ended = True
        self._has_events.set()

    def close(self) -> None:
        """End at once."""
        self._subscriptions.discard(self)
        self._waiting.clear()
        self._is_ended = True
        self._has_events.set()

    async def next(self, timeout_s: float) -> list[LoggedEvent] | None:
        """The queued events; an empty list on timeout; None at the end."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._has_events.wait()
        except TimeoutError:
            return []
        waiting, self._waiting = self._waiting, []
        if self._is_ended:
            return waiting or None
        self._has_events.clear()
        return waiting
