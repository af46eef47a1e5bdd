"""Background work on the event loop that nobody awaits: kept alive, and its crash never silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("balance.background_tasks")

_running: set[asyncio.Task[Any]] = set()  # the loop holds tasks weakly: without this one may vanish half-way


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start `coroutine` as a task. A crash is logged under `name`; whoever stops the task cancels it."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s crashed: %s: %s", task.get_name(), type(error).__name__, error, exc_info=error)
