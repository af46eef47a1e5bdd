"""Server-sent events (WHATWG HTML section 9.2): the parser, and a stream that connects again and goes on where it was."""

from __future__ import annotations

import http.client
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from balance.client.connection import Connection, Reply
from balance.client.errors import BusyError, ContactError

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0  # before another try


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream."""

    id: str
    event: str
    data: str


def messages(next_line: Callable[[], str]) -> Iterator[Message]:
    """The events of a stream of lines. An event that breaks off before its blank line is none."""
    last_id, name, data = "", "message", []
    while line := next_line():
        if not line.endswith("\n"):
            return
        field, _, value = line.rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "id" if "\0" not in value:
                last_id = value
            case "event":
                name = value
            case "data":
                data.append(value)
            case "" if line.strip("\r\n") == "":
                if data:
                    yield Message(last_id, name, "\n".join(data))
                name, data = "message", []


class EventStream(Generic[T]):
    """An iterator over what `make` makes of an endpoint's events; also a context manager.

    It is connected once it is made. When the connection ends it makes another, and asks for what came after the last event.
    `lost_contact_at` is when that began (seconds since the epoch), None while there is contact.
    """

    def __init__(
        self,
        open_stream: Callable[[str], tuple[Connection, Reply]],
        make: Callable[[Message], T],
        last_id: str = "",
        *,
        reconnect: bool = True,
        patience_s: float = math.inf,
    ) -> None:
        """`reconnect` False: ends with its first connection. `patience_s`: how long to try again before that is an error."""
        self._open = open_stream
        self._make = make
        self._last_id = last_id
        self._reconnects = reconnect
        self._patience_s = patience_s
        self._is_closed = threading.Event()
        self.lost_contact_at: float | None = None
        self._connection, self._reply = open_stream(last_id)
        self._messages = messages(self._line)

    def __enter__(self) -> EventStream[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> EventStream[T]:
        return self

    def __next__(self) -> T:
        while not self._is_closed.is_set():
            try:
                message = next(self._messages, None)
            except (OSError, ContactError, http.client.HTTPException, AttributeError, ValueError):
                # AttributeError, ValueError: closed meanwhile by another thread, in the middle of http.client
                message = None
            if message is not None:
                self._last_id = message.id or self._last_id
                return self._make(message)
            self._connection.close()
            if self._is_closed.is_set() or not self._reconnects:
                break
            self._connect_again()
        raise StopIteration

    def close(self) -> None:
        """Ends it, from another thread as well."""
        self._is_closed.set()
        self._connection.close()

    def _line(self) -> str:
        return self._reply.line()

    def _connect_again(self) -> None:
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        self.lost_contact_at = time.time()
        while not self._is_closed.wait(pause_s * (0.5 + random.random())):
            try:
                self._connection, self._reply = self._open(self._last_id)
            except (ContactError, BusyError):
                if time.monotonic() - began >= self._patience_s:
                    raise
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self._messages = messages(self._line)
            self.lost_contact_at = None
            return
