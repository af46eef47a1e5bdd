"""The interface of a source of endpoints: DNS, a file, Consul, Kubernetes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from balance.discovery.answer import Answer, SourceFailure
from balance.process.control.discovery.file_look import FileFeed

OnReport = Callable[[Answer | SourceFailure], None]


class Source(ABC):
    """Made with its settings and the name of its pool. It runs on control's loop and must never block it."""

    kind: ClassVar[str]  # as the file names it
    where: str = ""  # what is asked, without secrets: `app.example SRV`, a path, a URL
    next_look_s: float | None = None  # on the loop's clock, while it waits; None: it is being told, or asks now

    def read_through(self, files: FileFeed) -> None:
        """Where control has dropped its privileges, another process looks at files: those of the sources come from it."""
        return  # a source without files

    @abstractmethod
    async def run(self, report: OnReport) -> None:
        """Ask, report, wait, until cancelled. It has its own back-off (with jitter) and never raises: what goes wrong is a
        SourceFailure. Whatever it was told is reported, changed or not."""
