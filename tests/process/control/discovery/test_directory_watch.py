"""A watch of a folder wakes at once for a file that is written, renamed or swapped in there."""

import asyncio
import sys
from pathlib import Path

import pytest

from balance.process.control.discovery.directory_watch import DirectoryWatch


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_it_wakes_for_what_changes_in_the_folder(tmp_path: Path) -> None:
    """S8."""

    async def run() -> None:
        woken = asyncio.Event()
        watch = DirectoryWatch(asyncio.get_running_loop(), str(tmp_path), woken.set)
        assert watch.is_watching

        async def wakes() -> None:
            async with asyncio.timeout(10):
                await woken.wait()
            woken.clear()

        (tmp_path / "a").write_text("x")
        await wakes()
        (tmp_path / "a").rename(tmp_path / "b")
        await wakes()
        (tmp_path / "c").symlink_to("b")
        await wakes()
        watch.close()
        watch.close()

    asyncio.run(run())


def test_a_folder_that_is_not_there_is_polled_alone(tmp_path: Path) -> None:
    async def run() -> None:
        watch = DirectoryWatch(asyncio.get_running_loop(), str(tmp_path / "gone"), lambda: None)
        assert not watch.is_watching
        watch.close()

    asyncio.run(run())
