"""A transport that keeps what is written to it, with the manners of uvloop's: it raises where that raises."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

HIGH = 65_536


class FakeTransport(asyncio.Transport):
    """`drain` plays the peer that reads; `lose` the connection that ends."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.written = b""
        self.waiting = 0  # bytes that nobody has taken
        self.takes_all = True
        self.is_reading_now = True
        self.ends: list[str] = []  # eof, close, abort
        self.options: list[tuple[int, int]] = []
        self._is_closing = False
        self._is_lost = False
        self._is_full = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    family = socket.AF_INET

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options.append((level, option))

    @property
    def was_reset(self) -> bool:
        return (socket.SOL_SOCKET, socket.SO_LINGER) in self.options and "abort" in self.ends

    def write(self, data: Any) -> None:
        if self._is_lost:
            raise RuntimeError("unable to perform operation; the handler is closed")
        if "eof" in self.ends:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.written += data
        if not self.takes_all:
            self.waiting += len(data)
            if self.waiting > HIGH and not self._is_full:
                self._is_full = True
                self.protocol.pause_writing()

    def drain(self, size: int = 1 << 30) -> None:
        self.waiting = max(0, self.waiting - size)
        if self._is_full and not self.waiting:
            self._is_full = False
            self.protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._is_lost:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.ends.append("eof")

    def close(self) -> None:
        self._is_closing = True
        self.ends.append("close")

    def abort(self) -> None:
        self._is_closing = True
        self.ends.append("abort")

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return 0 if self._is_lost else self.waiting

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def lose(self, exc: Exception | None = None) -> None:
        self._is_closing = True
        self.protocol.connection_lost(exc)
        self._is_lost = True
