"""The system calls of native_calls.c by the standard library, and what they are. See the package."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

MANY_BYTES: Final = 256 * 1024  # the most that is read at once
# What a connection's first reads take: an object of MANY_BYTES would be mapped into memory for each read, and given back.
FEW_BYTES: Final = 16 * 1024

_NONBLOCKING_STREAM: Final = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)
_scratch: Final = memoryview(bytearray(MANY_BYTES))  # what is read into, and taken out at once

# What each takes and gives is said here once; it raises OSError as the call does.


def waiting(epoll: select.epoll, most: int) -> Callable[[], list[tuple[int, int]]]:
    """A function that gives up to `most` descriptors with their events, as there are now."""
    return partial(epoll.poll, 0, most)


def receive(fd: int, most: int) -> bytes | None:
    """Up to `most` bytes, no more than MANY_BYTES; none at the end of the stream, None when there are none now."""
    try:
        if most <= FEW_BYTES:
            return os.read(fd, most)
        count = os.readv(fd, (_scratch[:most],))
        return bytes(_scratch[:count])
    except BlockingIOError:
        return None


def peek(fd: int, most: int) -> bytes | None:
    """As receive(), and they stay."""
    try:
        with _Borrowed(fd) as borrowed:
            return borrowed.recv(most, socket.MSG_PEEK)
    except BlockingIOError:
        return None


def send(fd: int, data: bytes | bytearray | memoryview) -> int:
    """How many bytes of `data` the kernel has taken; 0 when it takes none now."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0


def send_joined(fd: int, parts: tuple[bytes, ...], data: bytes, start: int) -> int:
    """Send `parts` and what `data` has from `start` on, MANY_BYTES at most: how many bytes of them the kernel has not taken."""
    joined = b"".join((*parts, data[start:]))
    return len(joined) - send(fd, joined)


def accepting(sock: socket.socket) -> Callable[[], tuple[int, Any]]:
    """A function that accepts a connection of `sock`: its descriptor, which does not block, and its peer's address.

    BlockingIOError when there is none.
    """
    return partial(_accept, sock._accept)  # type: ignore[attr-defined]  # accept() would make a socket object


def _accept(accept: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    fd, address = accept()
    os.set_blocking(fd, False)
    return fd, address


def connect(family: int, host: str, port: int) -> tuple[int, Any]:
    """A descriptor that is being connected to an IP address, or to the Unix socket at the path `host`; and its socket object
    or None, where none was made, for the calls below.
    """
    sock = socket.socket(family, _NONBLOCKING_STREAM, 0)
    try:
        failed = sock.connect_ex(host if family == socket.AF_UNIX else (host, port))
        if failed and failed != errno.EINPROGRESS:
            raise OSError(failed, os.strerror(failed))
    except BaseException:
        sock.close()
        raise
    return sock.fileno(), sock


def error_of(fd: int, sock: Any) -> int:
    """SO_ERROR: 0 for none. It is none from then on."""
    if sock is not None:
        return int(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    with _Borrowed(fd) as borrowed:
        return borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def no_delay(fd: int, sock: Any) -> None:
    """TCP_NODELAY."""
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return
    with _Borrowed(fd) as borrowed:
        borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def end(fd: int, sock: Any) -> None:
    """End our direction (SHUT_WR)."""
    if sock is not None:
        sock.shutdown(socket.SHUT_WR)
        return
    with _Borrowed(fd) as borrowed:
        borrowed.shutdown(socket.SHUT_WR)


class _Borrowed:
    """A socket object for the time of one call, whose descriptor stays open."""

    __slots__ = ("_sock",)

    def __init__(self, fd: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)  # of any family: nothing is asked for

    def __enter__(self) -> socket.socket:
        return self._sock

    def __exit__(self, *_: object) -> None:
        self._sock.detach()


def close(fd: int, sock: Any) -> None:
    """Close it, and `sock` with it. Raises nothing: it is closed whatever the kernel says."""
    try:  # a context manager costs some thousand instructions, and each session has two of them
        if sock is not None:
            sock.close()
        else:
            os.close(fd)
    except OSError:
        pass
