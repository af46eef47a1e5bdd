"""inotify(7) for one directory: a file that is written, renamed or swapped in there is looked at at once. It only wakes: what
has changed says the look; without inotify (another system, a network share, no watch left) the next poll finds it.

The directory is watched and not the file: a watch of a file goes deaf when another takes its name.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_CLOSE_WRITE: Final = 0x8
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_ATTRIB: Final = 0x4
_BUFFER_BYTES: Final = 64 * 1024


class DirectoryWatch:
    """From start() to close()."""

    def __init__(self, loop: asyncio.AbstractEventLoop, directory: str, wake: Callable[[], object]) -> None:
        self._loop = loop
        self._wake = wake
        self._fd = _open(directory)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._on_readable)

    @property
    def is_watching(self) -> bool:
        return self._fd >= 0

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_readable(self) -> None:
        with suppress(OSError):
            os.read(self._fd, _BUFFER_BYTES)
        self._wake()


def _open(directory: str) -> int:
    """The descriptor, or -1."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            return -1
        wanted = _CLOSE_WRITE | _MOVED_TO | _CREATE | _DELETE | _ATTRIB
        if libc.inotify_add_watch(fd, os.fsencode(directory or "."), ctypes.c_uint32(wanted)) < 0:
            os.close(fd)
            return -1
    except (OSError, AttributeError, ValueError):
        return -1
    return fd
