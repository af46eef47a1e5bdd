"""Runs the source that asks DNS, on a loop as control has it, and takes down what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.dns.search_list import ResolvConf
from balance.discovery.settings import DnsDiscovery
from balance.process.control.discovery.dns_source import DnsSource

PATIENCE_S = 20.0


class Looks:
    """A running source: what it has reported so far, and how to wait for more."""

    def __init__(self, source: DnsSource) -> None:
        self.source = source
        self.reports: list[Answer | SourceFailure] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(source.run(self._report))

    def _report(self, answer: Answer | SourceFailure) -> None:
        self.reports.append(answer)
        self._more.set()

    async def next(self) -> Answer | SourceFailure:
        """The next report that has not been waited for."""
        seen = getattr(self, "_seen", 0)
        await self.until(lambda: len(self.reports) > seen)
        self._seen = seen + 1
        return self.reports[seen]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                assert not self._task.done(), self._task
                self._more.clear()
                await self._more.wait()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled()


def run(story: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in control
        runner.run(story())  # type: ignore[arg-type]


def settings(*servers: str, name: str = "app.test", type: str = "a", port: int = 80, refresh_s: float = 0.05) -> DnsDiscovery:
    return DnsDiscovery(name, type, port if type == "a" else 0, refresh_s, servers)


def one_look(*servers: str, conf: ResolvConf | None = None, **options: Any) -> Answer | SourceFailure:
    """What the first whole look comes to."""
    got: list[Answer | SourceFailure] = []

    async def story() -> None:
        looks = Looks(DnsSource(settings(*servers, **options), "pool", lambda: conf or ResolvConf()))
        got.append(await looks.next())
        await looks.stop()

    run(story)
    return got[0]


def addresses(answer: Answer | SourceFailure) -> list[str]:
    assert isinstance(answer, Answer), answer
    return [endpoint.address for endpoint in answer.endpoints]
