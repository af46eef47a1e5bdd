"""The access log: one line for each ended request, made at once, kept for a tick and written by the log's own thread, so that
a slow output never stops traffic.

What waits is bounded; when the output is slower than the traffic, lines are dropped and counted.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from random import random
from time import time
from typing import Final

from balance.config import model
from balance.log_lines.access_record import AccessRecord, AccessValues
from balance.log_lines.line_formats import LineFormat, combined_line, json_line
from balance.log_lines.selection import Selection
from balance.log_lines.shortened import shortened
from balance.log_lines.syslog import is_syslog, syslog_target
from balance.log_lines.template import template_line
from balance.proxy.log_outputs.file_output import FileOutput
from balance.proxy.log_outputs.output import Output, OutputTrouble
from balance.proxy.log_outputs.syslog_output import SyslogOutput

MAX_WAITING: Final = 8 << 20  # bytes of lines that wait for the output, some 12,000 lines
BATCH: Final = 128 << 10  # bytes of lines after which the thread is told before the tick


class AccessLog:
    """Makes lines, keeps them until the next flush() and hands them to its thread. All methods but the thread's never block."""

    __slots__ = (
        "_dropped",
        "_failed",
        "_format",
        "_handed",
        "_lines",
        "_longest",
        "_output",
        "_overflow",
        "_queue",
        "_selection",
        "_size",
        "_taken",
        "_told",
        "_writer",
    )  # fmt: skip

    def __init__(self, config: model.AccessLog, opened: int | None = None) -> None:
        """Open the output, unless it is a file that is `opened`. OSError when it can't be opened."""
        self._format = _line_format(config)
        sample = 1.0 if config.sample is None and not config.slow_threshold_s else config.sample or 0.0
        self._selection = Selection(sample, int(config.slow_threshold_s * 1e6), random) if sample < 1.0 else None
        self._output: Output = (
            SyslogOutput(syslog_target(config.output), config.output)
            if is_syslog(config.output)
            else FileOutput(config.output, opened)
        )
        self._longest = self._output.longest
        self._lines: list[str] = []
        self._size = 0  # bytes of them
        # One thread adds to each of these numbers, so that none needs a lock.
        self._handed = self._taken = 0  # bytes to the thread, and by it
        self._dropped = self._failed = 0  # lines: here, and by the output
        self._told = 0  # lines: those that take_lost() has told of
        self._overflow = OutputTrouble(f"the access log ({config.output})")
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._writer.start()

    @property
    def lost(self) -> int:
        """Lines that were lost so far."""
        return self._dropped + self._failed

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended, so that nothing can be lost any more."""
        return not self._writer.is_alive()

    def take_lost(self) -> int:
        """Lines that were lost since the last call."""
        lost = self.lost
        new, self._told = lost - self._told, lost
        return new

    def record(self, values: AccessValues) -> None:
        """Make its line, unless it is left out."""
        part = 1.0
        if self._selection is not None:
            part = self._selection.part(AccessRecord._make(values))
            if not part:
                return
        now = time()
        line = self._format(values, now, part)
        if len(line) > self._longest:
            line = shortened(AccessRecord._make(values), now, part, self._format, self._longest)
        self._lines.append(line)
        self._size = size = self._size + len(line)
        if size > BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand the lines to the thread, or drop them when too many wait."""
        lines = self._lines
        if not lines:
            return
        waiting = self._handed - self._taken
        if waiting + self._size > MAX_WAITING:
            self._dropped += len(lines)
            self._overflow.failed("its reader takes too little", len(lines))
        else:
            if waiting < MAX_WAITING // 2:
                self._overflow.works()
            self._handed += self._size
            self._queue.put("".join(lines))
        lines.clear()
        self._size = 0

    def close(self, timeout_s: float = 2.0) -> None:
        """Write the lines that wait and end the thread; waits for it up to `timeout_s`."""
        self.leave()
        self._writer.join(timeout_s)

    def leave(self) -> None:
        """Let the thread write the lines that wait and end, without waiting for it."""
        self.flush()
        self._output.hurry()
        self._queue.put(None)

    def _write_all(self) -> None:
        while (lines := self._queue.get()) is not None:
            self._failed += self._output.write(lines)
            self._taken += len(lines)
        self._output.close()


def _line_format(config: model.AccessLog) -> LineFormat:
    if config.format == "template":
        return template_line(config.template)
    return combined_line if config.format == "combined" else json_line
