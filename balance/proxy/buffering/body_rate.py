"""The least rate at which a request's body has to come, as Apache's mod_reqtimeout (MinRate) and Kestrel have it.

An inactivity timeout alone lets a client hold a request for hours with a byte now and then. Here each stretch of so many
seconds is judged by itself, so that what came fast before buys no time. Time in which the client is not read from, because the
backend takes no more, does not count; nor does the time before anything is asked of the client.
"""

from __future__ import annotations

from balance.proxy.net.timer_wheel import NEVER


class BodyRate:
    """Of one body. `due` is when the stretch is over, in seconds of the monotonic clock; NEVER while none runs."""

    __slots__ = ("_before", "_left_s", "_stretch_s", "bytes_per_s", "due")

    def __init__(self, bytes_per_s: int, stretch_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._stretch_s = stretch_s
        self._before = 0  # bytes at the beginning of the stretch
        self._left_s = stretch_s  # of the stretch, when it goes on
        self.due = NEVER

    def bounded(self, timeout_s: float, now: float) -> float:
        """The client is waited for: `timeout_s`, or until the stretch is over if that is earlier. It begins if none runs."""
        if self.due == NEVER:
            self.due = now + self._left_s
        return min(timeout_s, max(self.due - now, 0.0))

    def pause(self, now: float) -> None:
        """The client is not read from, from now on. The stretch goes on with the next bounded()."""
        if self.due != NEVER:
            self._left_s = max(self.due - now, 0.0)
            self.due = NEVER

    def is_kept(self, received: int) -> bool:
        """The stretch is over, with `received` bytes of the body so far: whether they were enough. The next one is to begin."""
        came, self._before = received - self._before, received
        self._left_s = self._stretch_s
        self.due = NEVER
        return came >= self.bytes_per_s * self._stretch_s
