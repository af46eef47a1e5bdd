"""The newest state of an instance, taken in by a thread; since when there is no contact, and why. It comes back by itself."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from balance.cli.admin.refusals import hint
from balance.cli.top.rows import last_whys, number, section
from balance.client import BusyError, Client, ClientError, NotFoundError

PAUSE_S: Final = (1.0, 3.0)  # before another try: between these
POLL_S: Final = 2.0  # where no stream is to be had
SILENCE_S: Final = 6.0  # a stream says something each second; a stuck instance says nothing


class News(NamedTuple):
    """What is known at a moment."""

    number: int  # rises with each state
    state: Mapping[str, Any]
    last_whys: Mapping[str, str]
    lost_at: float  # since when there is no contact (seconds since the epoch); 0: there is
    lost: str
    note: str  # once, with the first state after contact was lost


class Feed:
    """A context manager: the thread lives within it."""

    def __init__(self, client: Client, first: Mapping[str, Any]) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._number = 1
        self._state = first
        self._last_whys: dict[str, str] = last_whys({}, first, {})
        self._heard_at = time.monotonic()
        self._lost_at = 0.0
        self._lost = self._note = ""
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closed.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def news(self) -> News:
        """The newest."""
        with self._lock:
            lost, lost_at = self._lost, self._lost_at
            silent_s = time.monotonic() - self._heard_at
            if not lost and silent_s > max(SILENCE_S, 4 * (number(self._state, "interval_seconds") or 1.0)):
                lost, lost_at = "it says nothing more", time.time() - silent_s
            note, self._note = self._note, ""
            return News(self._number, self._state, self._last_whys, lost_at, lost, note)

    def _run(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._follow()
                self._lose("it broke off")
            except (BusyError, NotFoundError):
                self._poll()
            except ClientError as error:
                self._lose(f"{error}{hint(error)}")
            self._is_closed.wait(random.uniform(*PAUSE_S))

    def _follow(self) -> None:
        with self._client.watch(reconnect=False) as self._stream:
            for state in self._stream:
                self._take(state)
                if self._is_closed.is_set():
                    return

    def _poll(self) -> None:
        """All streams are taken: ask, for a while."""
        for _ in range(15):
            try:
                self._take(self._client.state())
            except ClientError as error:
                self._lose(f"{error}{hint(error)}")
                return
            if self._is_closed.wait(POLL_S):
                return

    def _take(self, state: Mapping[str, Any]) -> None:
        whys = last_whys(self._state, state, self._last_whys)
        with self._lock:
            if self._lost:
                self._note = _came_back(self._state, state, time.time() - self._lost_at)
            self._number += 1
            self._state, self._last_whys = state, whys
            self._heard_at = time.monotonic()
            self._lost, self._lost_at = "", 0.0

    def _lose(self, why: str) -> None:
        with self._lock:
            self._lost_at = self._lost_at or time.time()
            self._lost = why


def _came_back(before: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> str:
    """What has become of the instance while there was no contact."""
    old, new = section(before, "instance"), section(now, "instance")
    if old.get("id") != new.get("id"):
        what = "the instance was started anew"
    elif old.get("control_id") != new.get("control_id"):
        what = "its control process was started anew; traffic went on"
    else:
        what = "the instance is the same"
    return f"contact is back after {seconds:.0f}s: {what}"
