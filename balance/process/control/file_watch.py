"""`--watch`: polls the configuration file, and reports a change of its content.

It is polled once a second and not watched with inotify, so that renames, symlink swaps (Kubernetes ConfigMaps) and network
shares all work.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Iterable

from balance.config.reading.document import MAX_TEXT_BYTES
from balance.process.control.polling import Polling


class FileWatch:
    """One file. A change is reported once it was the same in two polls: an editor may still be writing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, file: str, texts: Iterable[str], on_change: Callable[[], object]
    ) -> None:
        """`texts` are the contents already served or rolled back from. `on_change` is called on the loop."""
        self._loop = loop
        self._file = file
        self._on_change = on_change
        # The last text alone, once it was looked at; a text that was refused too, which is not tried again and again.
        self._known_digests = {_digest(text.encode()) for text in texts}
        self._stamp: tuple[int, ...] = ()
        self._is_settling = False

    def start(self) -> None:
        """Poll from now on."""
        assert self._loop is not None
        Polling(self._loop, "file-watch", self.has_changed, self._on_change).start()

    def has_changed(self) -> bool:
        """Poll once. A missing or unreadable file is no change."""
        try:
            status = os.stat(self._file)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                self._stamp, self._is_settling = stamp, True
                return False
            if not self._is_settling:
                return False
            self._is_settling = False
            if not stat.S_ISREG(status.st_mode):
                return False  # a pipe would hold up this look and all that follow
            with open(self._file, "rb") as file:
                digest = _digest(file.read(MAX_TEXT_BYTES + 1))
        except OSError:
            return False
        is_new = digest not in self._known_digests
        self._known_digests = {digest}
        return is_new


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
