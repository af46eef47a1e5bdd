"""`--watch`: looks at the configuration's file and says when it holds something new. What follows is whoever is told's.

The file is asked for once a second: an editor that replaces it, a link that is turned (as Kubernetes does with a ConfigMap) and
a network share all look alike so, and none of them needs the kernel's help.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable

LOOK_S = 1.0


class FileWatch:
    """One file. A change is told once it has held for two looks: an editor may still be writing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, file: str, texts: Iterable[str], changed: Callable[[], object]) -> None:
        """`texts` are those that it had before, and the last one need not be its own: whoever went back to an earlier one
        does not want the file's now. `changed` is called on the loop."""
        self._loop = loop
        self._file = file
        self._changed = changed
        # The last text alone, once it was looked at; a text that was refused too, which is not tried again and again.
        self._known = {_digest(text.encode()) for text in texts}
        self._stamp: tuple[int, ...] = ()
        self._is_settling = False

    def start(self) -> None:
        """Look from now on."""
        self._loop.call_later(LOOK_S, self.start)
        self.look()

    def look(self) -> None:
        """Once. A file that is gone or can't be read is no change: what is served goes on."""
        try:
            status = os.stat(self._file)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                self._stamp, self._is_settling = stamp, True
                return
            if not self._is_settling:
                return
            self._is_settling = False
            with open(self._file, "rb") as file:
                digest = _digest(file.read())
        except OSError:
            return
        is_new = digest not in self._known
        self._known = {digest}
        if is_new:
            self._changed()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
