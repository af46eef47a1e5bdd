"""The file source: what it reports, of a file of its own and of one that another process reads."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from balance.discovery.answer import Answer, Report, SourceFailure
from balance.discovery.endpoint import Endpoint
from balance.discovery.settings import FileDiscovery
from balance.process.control.discovery import file_source, source_of
from balance.process.control.discovery.file_look import Content, FileFeed
from balance.process.control.discovery.file_source import FileSource

A, B = Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80")
Next = Callable[[], Awaitable[Report]]


def run(source: FileSource, steps: Callable[[Next], Awaitable[None]]) -> None:
    async def main() -> None:
        reports: asyncio.Queue[Report] = asyncio.Queue()
        task = asyncio.create_task(source.run(reports.put_nowait))

        async def next_report() -> Report:
            async with asyncio.timeout(20):
                return await reports.get()

        await steps(next_report)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_file_is_reported_whenever_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7, S8: a file that is missing, or zero bytes long, is a failure; it is said again and again, and mended."""
    monkeypatch.setattr(file_source, "SETTLE_S", 0.01)
    file = tmp_path / "b.yaml"
    source = source_of(FileDiscovery(str(file)), "web")
    assert isinstance(source, FileSource)
    assert (source.kind, source.where) == ("file", str(file))

    async def steps(next_report: Next) -> None:
        assert await next_report() == SourceFailure(f"{file}: can't be read: No such file or directory")
        file.write_text("- 10.0.0.1:80\n")
        assert await next_report() == Answer((A,))
        assert source.next_look_s is not None
        file.write_text("")
        assert await next_report() == SourceFailure(f"{file}: is empty; write [] when there is nobody")
        (tmp_path / "new").write_text("web: [10.0.0.2:80]\n")
        (tmp_path / "new").rename(file)
        assert await next_report() == Answer((B,))

    run(source, steps)


def test_an_empty_list_is_reported_again_and_the_rest_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look at an answer without anybody is the next one."""
    monkeypatch.setattr(file_source, "SETTLE_S", 0.01)
    monkeypatch.setattr(file_source, "POLL_S", 0.02)
    monkeypatch.setattr(file_source, "REPEAT_S", 0.05)
    file = tmp_path / "b.yaml"
    file.write_text("[]")

    async def steps(next_report: Next) -> None:
        assert [await next_report() for _ in range(3)] == [Answer(())] * 3
        file.write_text("- 10.0.0.1:80")
        found = await next_report()
        while found == Answer(()):
            found = await next_report()
        assert found == Answer((A,))
        assert await next_report() == Answer((A,))

    run(FileSource(FileDiscovery(str(file)), "web"), steps)


def test_where_control_may_not_look_another_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = FileFeed()
    source = FileSource(FileDiscovery("/secret/b.yaml"), "web")
    source.read_through(feed)

    async def steps(next_report: Next) -> None:
        await asyncio.sleep(0)
        feed.put("/secret/b.yaml", Content(b"- 10.0.0.1:80"))
        assert await next_report() == Answer((A,))
        feed.put("/secret/b.yaml", Content(b"", "can't be read: Permission denied"))
        assert await next_report() == SourceFailure("/secret/b.yaml: can't be read: Permission denied")

    run(source, steps)


def test_a_bug_in_reading_is_a_failure_and_not_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> Report:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(file_source, "read_endpoints", broken)
    monkeypatch.setattr(file_source, "SETTLE_S", 0.01)

    async def steps(next_report: Next) -> None:
        assert await next_report() == SourceFailure("a bug: ZeroDivisionError: x")

    run(FileSource(FileDiscovery(str(tmp_path / "x")), "web"), steps)
