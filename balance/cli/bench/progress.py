"""One line on the terminal while a load runs: nothing of it in a pipe, in a file, or where the terminal can't go back."""

from __future__ import annotations

import os
import sys
import time
from typing import Final, TextIO

from balance.cli.bench.children import Progress
from balance.cli.bench.plan import Plan

BAR: Final = 24
INTERVAL_S: Final = 0.2


class ProgressLine:
    """Drawn on stderr, so that stdout has the result alone."""

    def __init__(self, plan: Plan, stream: TextIO | None = None) -> None:
        self._plan = plan
        self._stream = sys.stderr if stream is None else stream
        self._is_shown = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._began = 0.0
        self._drawn = 0.0
        self._last = (0.0, 0)

    def show(self, progress: Progress, has_begun: bool) -> None:
        now = time.monotonic()
        if has_begun and not self._began:
            self._began = now
        if not self._is_shown or now - self._drawn < INTERVAL_S:
            return
        self._drawn = now
        self._write(self._text(progress, now) if has_begun else f"connecting to {self._plan.target}")

    def _text(self, progress: Progress, now: float) -> str:
        elapsed_s = now - self._began - self._plan.warmup_s
        if elapsed_s < 0:
            return "warming up"
        shares = []
        if self._plan.requests:
            shares.append(progress.replies / self._plan.requests)
        if self._plan.duration_s:
            shares.append(elapsed_s / self._plan.duration_s)
        share = min(max(shares, default=0.0), 1.0)
        bar = ("#" * round(BAR * share)).ljust(BAR, ".")
        failed = f"  {progress.errors:,} errors" if progress.errors else ""
        return f"[{bar}] {share:4.0%}  {progress.replies:,} replies{self._rate(progress, now)}{failed}"

    def _rate(self, progress: Progress, now: float) -> str:
        before, replies = self._last
        self._last = (now, progress.replies)
        return f"  {(progress.replies - replies) / (now - before):,.0f}/s" if before and progress.replies >= replies else ""

    def _write(self, text: str) -> None:
        columns = os.get_terminal_size(self._stream.fileno()).columns or 80
        self._stream.write(f"\r\x1b[K{text[: columns - 1]}")
        self._stream.flush()

    def clear(self) -> None:
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
