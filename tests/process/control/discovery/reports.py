"""Runs a source beside a test, and takes what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from balance.discovery.answer import Answer, SourceFailure
from balance.process.control.discovery.source import Source

PATIENCE_S = 10.0
Report = Answer | SourceFailure


class Reports:
    """`async with Reports(source) as reports`. What is reported comes in its order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.all: list[Report] = []
        self._news: asyncio.Queue[Report] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reports:
        self._task = asyncio.create_task(self.source.run(self._take))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        assert not self._task.done(), self._task  # it never ends by itself
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _take(self, report: Report) -> None:
        self.all.append(report)
        self._news.put_nowait(report)

    async def next(self) -> Report:
        """The next report."""
        return await asyncio.wait_for(self._news.get(), PATIENCE_S)

    async def until(self, wanted: Callable[[Report], bool]) -> Report:
        """The next report that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                report = await self._news.get()
                if wanted(report):
                    return report

    async def until_addresses(self, *addresses: str) -> Answer:
        """The next answer with exactly these; `~` before those that end."""
        wanted = sorted(addresses)
        report = await self.until(lambda each: isinstance(each, Answer) and sorted(shown(each)) == wanted)
        assert isinstance(report, Answer)
        return report

    async def until_failure(self, words: str) -> None:
        """The next failure that says so."""
        await self.until(lambda each: isinstance(each, SourceFailure) and words in each.words)


def shown(report: Report) -> list[str]:
    """Addresses, `~` before those that end; or what went wrong."""
    if isinstance(report, SourceFailure):
        return [report.words]
    return [("~" if each.draining else "") + each.address for each in report.endpoints]
