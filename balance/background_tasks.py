"""Background tasks on the event loop: references are kept, and exceptions are logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("balance.background_tasks")

_running: set[asyncio.Task[Any]] = set()  # the event loop has only weak references to tasks


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start `coroutine` as a task. An exception is logged with `name`; cancel the task to stop it."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s crashed: %s: %s", task.get_name(), type(error).__name__, error, exc_info=error)
