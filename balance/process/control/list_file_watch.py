"""Looks at the files of access lists once a second. A changed list is ordered to be served; a wrong one changes nothing.

What a file has is compared with what is served, so a file that was changed before this process began is noticed too.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from balance.access_lists.list_file import ListFileError
from balance.config.model import Config
from balance.config.reading.access_list_files import read_list
from balance.process.control.polling import Polling

log = logging.getLogger("balance.control")

Stamp = tuple[int, int, int]


class ListFileWatch:
    """All files of all lists, polled as FileWatch does, for the same reasons: renames, symlinks and network shares work."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, config: Callable[[], Config], on_change: Callable[[], object]
    ) -> None:
        """`config` returns what is served; `on_change` is called on the loop."""
        self._loop = loop
        self._config = config
        self._on_change = on_change
        self._stamps: dict[str, Stamp] = {}  # as seen by the last poll
        self._judged: dict[str, Stamp] = {}  # as read last: it is served, ordered or wrong

    def start(self) -> None:
        """Poll from now on, while there are such files."""
        assert self._loop is not None
        Polling(self._loop, "list-file-watch", self.has_changed, self._on_change, is_needed=self._has_files).start()

    def _has_files(self) -> bool:
        return any(listener.access_lists.files for listener in self._config().listeners)

    def has_changed(self) -> bool:
        """Poll every file once. Whether one has a list that is good and not the one that is served."""
        config = self._config()
        folder = os.path.dirname(config.source)
        is_changed = False
        served = {file.path: file.addresses for listener in config.listeners for file in listener.access_lists.files}
        needed = {file.path for listener in config.listeners for file in listener.access_lists.allow_files}
        for path, addresses in served.items():
            full = os.path.join(folder, path)
            try:
                status = os.stat(full)
            except OSError:
                continue  # in the middle of being replaced, or gone: the list stays as it is
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            before, self._stamps[path] = self._stamps.get(path), stamp
            if stamp != before or stamp == self._judged.get(path):  # an editor may still be writing
                continue
            self._judged[path] = stamp
            try:
                is_changed |= read_list(full, is_needed=path in needed) != addresses
            except ListFileError as error:
                where = f"{full}:{error.line}" if error.line else full
                log.warning("the access list %s stays as it was: %s: %s", path, where, error.why)
            except OSError as error:
                log.warning("the access list %s stays as it was: can't be read: %s", path, error.strerror or error)
        return is_changed
