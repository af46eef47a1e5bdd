"""The table of sources: each is made of its settings, and imported where a pool has it."""

import asyncio

import pytest

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.endpoint import Endpoint
from balance.discovery.settings import FileDiscovery
from balance.process.control.discovery import SOURCES, source_of
from balance.process.control.discovery.source import OnReport, Source


class Told(Source):
    kind = "file"

    def __init__(self, settings: FileDiscovery, pool: str) -> None:
        self.where = f"{settings.path} for {pool}"

    async def run(self, report: OnReport) -> None:
        report(Answer((Endpoint("127.0.0.1:1"),)))
        report(SourceFailure("is gone"))


def test_a_source_is_made_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, FileDiscovery, (__name__, "Told"))
    source = source_of(FileDiscovery("x"), "web")
    found: list[Answer | SourceFailure] = []
    asyncio.run(source.run(found.append))
    assert (source.where, found) == ("x for web", [Answer((Endpoint("127.0.0.1:1"),)), SourceFailure("is gone")])
