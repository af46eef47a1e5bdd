"""What the dashboard shows, as it changes: the whole state again and again, kept up to date by merge patches (RFC 7396)."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, cast

from balance.client.errors import BadReplyError
from balance.client.events import EventStream, Message
from balance.client.state import State


def merged(target: Any, patch: Any) -> Any:
    """The target with the patch laid over it. Neither is changed; what is the same in both is shared."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


class StateStream:
    """An iterator over states, and a context manager. Each is a document of its own, which may be kept."""

    def __init__(self, messages: EventStream[Message]) -> None:
        self._messages = messages
        self._state: State | None = None

    def __enter__(self) -> StateStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> StateStream:
        return self

    def __next__(self) -> State:
        for message in self._messages:
            if message.event == "state":
                self._state = _document(message)
            elif message.event == "delta" and self._state is not None:
                self._state = merged(self._state, _document(message))
            else:
                continue  # the charts' past, an end that is announced, what is newer than this
            return self._state
        raise StopIteration

    @property
    def lost_contact_at(self) -> float | None:
        """Since when there is no contact (seconds since the epoch); None while there is."""
        return self._messages.lost_contact_at

    def close(self) -> None:
        """Ends it, from another thread as well."""
        self._messages.close()


def _document(message: Message) -> State:
    try:
        value = json.loads(message.data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadReplyError(f"/dashboard/stream: the event {message.event} is no JSON object")
    return cast(State, value)
