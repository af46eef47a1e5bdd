"""`discovery.file`: reads a file whenever it changes.

The folder is watched; once a second the file is looked at in any case. What it says is parsed in the thread that has read it:
10,000 endpoints take a while.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from balance.discovery.answer import Report, SourceFailure
from balance.discovery.endpoint_file import endpoints_in
from balance.discovery.settings import FileDiscovery
from balance.errors import ConfigError
from balance.process.control.discovery.directory_watch import DirectoryWatch
from balance.process.control.discovery.file_look import SETTLE_S, Content, FileFeed, FileLook
from balance.process.control.discovery.source import OnReport, Source

POLL_S: Final = 1.0
CALM_S: Final = 0.02
REPEAT_S: Final = 10.0  # what stands there is said again, so that its age is that of the last look


class FileSource(Source):
    """One file, for one pool."""

    kind = "file"

    def __init__(self, settings: FileDiscovery, pool: str) -> None:
        self.where = settings.path
        self._path = settings.path
        self._pool = pool
        self._files: FileFeed | None = None
        self._seen: Content | None = None  # of the feed

    def read_through(self, files: FileFeed) -> None:
        self._files = files

    async def run(self, report: OnReport) -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        watch = DirectoryWatch(loop, os.path.dirname(self._path), woken.set) if self._files is None else None
        if self._files is not None:
            self._files.follow(self._path, woken.set)
        look = FileLook(self._path, SETTLE_S)
        try:
            await self._look_on(report, look, woken)
        finally:
            if watch is not None:
                watch.close()
            if self._files is not None:
                self._files.leave(self._path, woken.set)

    async def _look_on(self, report: OnReport, look: FileLook, woken: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        last: Report | None = None
        said_at = 0.0
        while True:
            woken.clear()
            found = await _in_thread(lambda: self._look(look))
            now = loop.time()
            is_empty = not isinstance(last, SourceFailure) and last is not None and not last.endpoints
            if found is not None:
                last = found
            if found is not None or (last is not None and (is_empty or now >= said_at + REPEAT_S)):
                assert last is not None
                report(last)
                said_at = now
            wait_s = SETTLE_S if look.is_settling else POLL_S
            self.next_look_s = loop.time() + wait_s
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await woken.wait()
                    await asyncio.sleep(CALM_S)  # a storm of events is one look
            self.next_look_s = None

    def _look(self, look: FileLook) -> Report | None:
        """In the thread."""
        if self._files is None:
            content = look.look()
        else:
            content = self._files.content(self._path)
            if content is self._seen:
                return None
            self._seen = content
        return None if content is None else read_endpoints(content, self._pool, self._path)


def read_endpoints(content: Content, pool: str, path: str) -> Report:
    """What a file says of a pool."""
    if content.failure:
        return SourceFailure(f"{path}: {content.failure}")
    from balance.config.reading.composer import compose  # PyYAML: not in the memory of a control process without such files

    try:
        text = content.data.decode()
    except UnicodeDecodeError as error:
        line = content.data.count(b"\n", 0, error.start) + 1
        return SourceFailure(f"{path}:{line}: is not UTF-8 text")
    try:
        return endpoints_in(compose(text, path), pool, path)
    except ConfigError as error:
        return SourceFailure(str(error.problems[0]))


async def _in_thread(step: Callable[[], Report | None]) -> Report | None:
    """In a daemon thread of its own: a network share that hangs holds up neither the loop nor the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Report | None] = loop.create_future()

    def settle(result: Report | None) -> None:
        if not future.done():
            future.set_result(result)

    def run() -> None:
        try:
            result = step()
        except Exception as error:  # a bug in what reads it: said, and not the end of looking
            result = SourceFailure(f"a bug: {type(error).__name__}: {error}")
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="discovery-file", daemon=True).start()
    return await future
