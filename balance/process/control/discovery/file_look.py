"""Looks at a file that somebody else writes: what it has, once it rests.

A look is stat(2), and a read only when that has changed; so renames, the swapped symlinks of ConfigMaps and network shares are
seen, whatever a watch of the kernel sees.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from balance.discovery.endpoint_file import MAX_FILE_BYTES

SETTLE_S: Final = 0.2  # a file has to be the same for so long: who writes in place may be in the middle of it
LONGEST_S: Final = 1.0  # one that is replaced again and again is read after that: it is whole by its being renamed


class Content(NamedTuple):
    """What a look has found."""

    data: bytes
    failure: str = ""  # why there is none


class FileLook:
    """One file. A thing is found once it was the same for a while, and once only."""

    def __init__(self, path: str, settle_s: float = SETTLE_S, longest_s: float = LONGEST_S) -> None:
        self._path = path
        self._settle_s, self._longest_s = settle_s, longest_s
        self._changed_at = self._restless_since = 0.0
        self._stamp: tuple[int, ...] | str | None = None
        self._digest: bytes | None = None
        self.is_settling = False  # look again after SETTLE_S

    def look(self) -> Content | None:
        """What is new; None when nothing is."""
        stamp: tuple[int, ...] | str
        try:
            status = os.stat(self._path)
            stamp = (status.st_ino, status.st_dev, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        except (OSError, ValueError) as error:
            status, stamp = None, _words(error)
        now = time.monotonic()
        if stamp != self._stamp:
            if not self.is_settling:
                self._restless_since = now
            is_replaced = isinstance(stamp, tuple) and isinstance(self._stamp, tuple) and stamp[:2] != self._stamp[:2]
            self._stamp, self._changed_at, self.is_settling = stamp, now, True
            if not is_replaced or now < self._restless_since + self._longest_s:
                return None
        elif not self.is_settling or now < self._changed_at + self._settle_s:
            return None
        self.is_settling = False
        content = self._read(status) if status is not None else Content(b"", str(stamp))
        digest = hashlib.blake2b(content.data + content.failure.encode(), digest_size=16).digest()
        if digest == self._digest:
            return None
        self._digest = digest
        return content

    def _read(self, status: os.stat_result) -> Content:
        if not stat.S_ISREG(status.st_mode):
            return Content(b"", "is not a file")  # a pipe would hold up this look and all that follow
        try:
            with open(self._path, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            return Content(b"", _words(error))
        if len(data) > MAX_FILE_BYTES:
            return Content(b"", f"is larger than {MAX_FILE_BYTES // 1024**2} MB")
        return Content(data)


def _words(error: OSError | ValueError) -> str:
    return f"can't be read: {error.strerror if isinstance(error, OSError) else error}"


class FileFeed:
    """What another process has found in files, for sources that may not look themselves."""

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}
        self._wake: dict[str, list[Callable[[], object]]] = {}

    def follow(self, path: str, wake: Callable[[], object]) -> None:
        """Call `wake` for everything new in that file."""
        self._wake.setdefault(path, []).append(wake)

    def leave(self, path: str, wake: Callable[[], object]) -> None:
        """The end of follow()."""
        if wake in self._wake.get(path, ()):
            self._wake[path].remove(wake)

    def put(self, path: str, content: Content) -> None:
        """It has found that."""
        self._contents[path] = content
        for wake in self._wake.get(path, ()):
            wake()

    def content(self, path: str) -> Content | None:
        """The last that was found."""
        return self._contents.get(path)
