"""A program on a pseudo-terminal, and what stands on its screen (as pyte reads it)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import pyte

PATIENCE_S = 20.0
KEYS = {
    "up": "\x1bOA",
    "down": "\x1bOB",
    "escape": "\x1b",
    "enter": "\r",
    "backspace": "\x7f",
    "end": "\x1bOF",
    "home": "\x1bOH",
}


class PseudoTerminal:
    """Runs `balance` with these words."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        width: int = 80,
        height: int = 24,
        env: dict[str, str | None] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "balance"),
    ) -> None:
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._master, slave = pty.openpty()
        self._slave = os.dup(slave)  # so that its settings can be read after the program has ended
        self._size(width, height)
        self.before = termios.tcgetattr(slave)
        environment = os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        for name in ("NO_COLOR", "LINES", "COLUMNS"):
            environment.pop(name, None)
        for name, value in (env or {}).items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        self.process = subprocess.Popen(
            [*program, *words],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self._slave)
        self._reader.join(PATIENCE_S)
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO once nobody has the other side open
            while data := os.read(self._master, 65536):
                with self._lock:
                    self.raw += data
                    self._stream.feed(data)

    def _size(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width: int, height: int) -> None:
        """As a window that is dragged."""
        with self._lock:
            self._screen.resize(height, width)
        self._size(width, height)

    def press(self, *keys: str) -> None:
        """Keys by name or character."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def cell(self, row: int, column: int) -> Any:
        """With its colours."""
        with self._lock:
            return self._screen.buffer[row][column]

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """The first true value."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.02)
        raise AssertionError(f"not within {PATIENCE_S:g}s: {what}; on the screen is\n{self.text}\n{self.raw[-2000:]!r}")

    def until_shown(self, *words: str) -> None:
        """Each of them is on the screen."""
        self.until(lambda: all(word in self.text for word in words), f"{words}")

    def until_gone(self, word: str) -> None:
        """It is not on the screen."""
        self.until(lambda: word not in self.text, f"{word!r} to go")

    def ended(self) -> int:
        """The exit status."""
        return self.process.wait(PATIENCE_S)

    @property
    def settings(self) -> list[Any]:
        """Of the terminal, now: echo, modes, control characters."""
        return termios.tcgetattr(self._slave)

    @property
    def is_restored(self) -> bool:
        """Whether echo, modes and screen are as they were."""
        return self.settings[:4] == self.before[:4] and self.is_left

    @property
    def is_left(self) -> bool:
        """Whether the normal screen is shown, not the one of full-screen programs."""
        return self.raw.rfind(b"\x1b[?1049l") >= self.raw.rfind(b"\x1b[?1049h")
