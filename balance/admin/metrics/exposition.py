"""The text of a scrape. It is written beside the event loop, by one thread at a time; workers notice nothing.

That thread imports the library with the first one: control takes 2 MB less where nobody scrapes.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
from typing import Final

from balance.admin.metrics.formats import Format
from balance.admin.metrics.scrape import Remembered, Scrape
from balance.admin.state_view import StateView
from balance.background_tasks import spawn

GZIP_LEVEL = 4  # of 1,000 backends' text a sixteenth is left, in as much time as half of that takes at level 6
Key = tuple[Format, bool, frozenset[str]]  # and whether it is compressed, and which metrics are wanted: none named is all
EVERY: Final[frozenset[str]] = frozenset()
ENDS: Final = ("", "_total", "_bucket", "_count", "_sum")  # of a metric's name, in the names of its samples


class Exposition:
    """Of one instance, whatever number of servers shows it. Those who ask while another is served share the next text."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._remembered = Remembered()
        self._waiting: dict[Key, asyncio.Future[bytes]] = {}
        self._is_running = False

    @staticmethod
    def of(view: StateView) -> Exposition:
        """The one of that view."""
        found = view.shared.setdefault("exposition", None) or Exposition(view)
        assert isinstance(found, Exposition)
        view.shared["exposition"] = found
        return found

    async def text(self, format: Format, *, is_compressed: bool, names: frozenset[str] = EVERY) -> bytes:
        """The metrics of these names as they are now."""
        key = (format, is_compressed, names)
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            if not self._is_running:
                self._is_running = True
                spawn(self._run(), "writing metrics")
        return await asyncio.shield(future)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                key = next(iter(self._waiting))
                future = self._waiting.pop(key)
                scrape = Scrape(self._view, self._remembered)
                try:
                    future.set_result(await loop.run_in_executor(None, _written, scrape, *key))
                except Exception as error:
                    future.set_exception(error)
                    future.exception()  # whoever asked may be gone
        finally:
            self._is_running = False


def _written(scrape: Scrape, format: Format, is_compressed: bool, names: frozenset[str]) -> bytes:
    from balance.admin.metrics.families import Scraped
    from balance.admin.metrics.text import as_text

    metrics = Scraped(scrape).collect()
    if names:
        metrics = (metric for metric in metrics if any(metric.name + end in names for end in ENDS))
    # A collection of the samples, none of which is in a cycle, would hold the event loop for longer than all else here.
    gc.disable()
    try:
        text = as_text(metrics, is_openmetrics=format is Format.OPENMETRICS)
    finally:
        gc.enable()
    return gzip.compress(text, GZIP_LEVEL, mtime=0) if is_compressed else text
