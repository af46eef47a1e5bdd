"""Whether one descriptor is ready. select.select() refuses those above 1023, which a long run of tests has."""

from __future__ import annotations

import select
import socket


def is_readable(source: int | socket.socket, seconds: float = 0.0) -> bool:
    return bool(_polled(source, select.POLLIN, seconds))


def is_writable(source: int | socket.socket, seconds: float = 0.0) -> bool:
    return bool(_polled(source, select.POLLOUT, seconds))


def readiness(source: int | socket.socket, seconds: float, *, reads: bool) -> tuple[bool, bool]:
    """Whether it is readable, which is asked for only if it `reads`, and writable; when the first of them is true."""
    found = _polled(source, select.POLLOUT | (select.POLLIN if reads else 0), seconds)
    return bool(found & (select.POLLIN | select.POLLHUP | select.POLLERR)) and reads, bool(found & ~select.POLLIN)


def _polled(source: int | socket.socket, events: int, seconds: float) -> int:
    poll = select.poll()
    poll.register(source, events)
    found = poll.poll(seconds * 1000)
    return found[0][1] if found else 0
