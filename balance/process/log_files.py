"""The files of logs, as the supervisor opens them for children that have dropped their privileges and could not.

nginx gives the files to its user instead, and so whoever is that user can change what was written. Streams are inherited, and
are not opened again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from balance.config.model import LoggingConfig
from balance.errors import StartError
from balance.process import logs
from balance.proxy.log_outputs.file_output import open_file

LOG, ACCESS = "log", "access_log"


class LogFiles:
    """Descriptors on their way to, or in, a child, by what they are for. Whoever has them closes what is not taken."""

    __slots__ = ("_fds",)

    def __init__(self, names: Sequence[str] = (), fds: Sequence[int] = ()) -> None:
        self._fds = dict(zip(names, fds, strict=True))

    @classmethod
    def open(cls, config: LoggingConfig) -> LogFiles:
        """Open the files of this section. StartError when one can't be opened."""
        files = cls()
        try:
            if logs.is_file(config.output):
                files._fds[LOG] = logs.open_output(config)
            if config.access_log.enabled and logs.is_file(config.access_log.output):
                files._fds[ACCESS] = open_file(config.access_log.output)
        except OSError as error:
            files.close()
            where = config.access_log.output
            raise StartError(f"logging.access_log.output: cannot open {where!r}: {error.strerror}") from None
        return files

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._fds)

    @property
    def fds(self) -> list[int]:
        return list(self._fds.values())

    def take(self, name: str) -> int | None:
        """The descriptor, which is the caller's from now on; None: there is none, and the caller opens it himself."""
        return self._fds.pop(name, None)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])
