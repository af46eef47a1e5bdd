"""Runs what takes long on a few threads, so that the loop turns meanwhile: hashes of passwords. Bounded; started on demand.

Each job holds the memory of its hash (up to 128 MB), so threads are few; the libraries release the interpreter's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

THREADS: Final = 2
MAX_JOBS: Final = 34  # running and waiting: some two seconds of work at 100 ms each


class JobThreads:
    """Those of one worker."""

    __slots__ = ("_executor", "_jobs", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._executor: ThreadPoolExecutor | None = None
        self._jobs = 0

    def run(self, job: Callable[[], object], done: Callable[[object], None]) -> bool:
        """Run the job; done() gets its result on the loop, None when it failed. False when too many wait already."""
        if self._jobs >= MAX_JOBS:
            return False
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS, "balance-job")
        self._jobs += 1
        future = self._executor.submit(job)
        future.add_done_callback(lambda ended: self._on_thread(ended, done))
        return True

    def _on_thread(self, ended: Future[object], done: Callable[[object], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_loop, ended, done)

    def _on_loop(self, ended: Future[object], done: Callable[[object], None]) -> None:
        self._jobs -= 1
        error = ended.exception()
        try:
            done(None if error is not None else ended.result())
        finally:
            if error is not None:
                context = {"message": "a job on a thread failed", "exception": error}
                self._loop.call_exception_handler(context)
