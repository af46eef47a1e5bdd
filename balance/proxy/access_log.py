"""The access log: one line for each ended request, written by its own thread, so that a slow output never stops traffic.

Lines wait in a bounded queue; when the disk or the pipe is slower than the traffic, lines are dropped and counted.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import re
import select
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from balance.config import model
from balance.http1.fields import field_value
from balance.model import Why
from balance.retry.decision import RetryOutcome

MAX_WAITING = 10_000  # lines
MAX_AT_ONCE = 256  # lines in one write
MAX_UNREAD = 4096  # bytes of a refused head that are read for the log

_UNSAFE = re.compile(r'["\\]|[^ -~]')
_UNSAFE_NAME = re.compile(r'["\\]|[^!-~]|[][]|\A-\Z')


class FailedTry(NamedTuple):
    """A try that was resent. `why` is a word of Why, or the status of a reply that was not passed on."""

    backend: str
    why: str
    ms: float


@dataclass(slots=True)
class AccessRecord:
    """The fields of one line. Times in milliseconds, -1 when the request did not come to that step.

    `connect_ms` and `ttfb_ms` (from sending the request to its reply) are those of the last try, which is the one at `backend`.
    """

    client: str
    method: str
    host: str
    path: str
    version: str
    status: int
    why: str
    bytes_in: int
    bytes_out: int
    backend: str
    pool: str
    attempts: int
    request_id: str
    referer: str
    user_agent: str
    queue_ms: float
    connect_ms: float
    ttfb_ms: float
    total_ms: float
    retry: str = ""  # what followed the last failed try: a word of RetryOutcome
    detail: str = ""  # the error in words, if there was one
    tries: Sequence[FailedTry] = ()  # those before the last
    route: str = ""
    rule: str = ""  # the traffic rule that decided, if one did
    region: str = ""  # the client's, where the route has regions
    user: str = ""  # who asks, as a password or token has proven
    backend_region: str = ""  # likewise that of the backend: another one when the request spilled over


def unserved(
    peer: str, head: bytes, status: int, why: Why, bytes_out: int, pool: str, request_id: bytes, detail: str
) -> AccessRecord:
    """The record of a request that was answered without a backend. `head` may be any bytes that a client sent."""
    line, _, lines = head[:MAX_UNREAD].partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    method, path, version = words if len(words) == 3 else ("", words[0], "")
    return AccessRecord(
        client=peer,
        method=method,
        host=field_value(lines, b"host"),
        path=path,
        version=version,
        status=status,
        why=why.word,
        bytes_in=len(head),
        bytes_out=bytes_out,
        backend="",
        pool=pool,
        attempts=0,
        request_id=request_id.decode("ascii"),
        referer=field_value(lines, b"referer"),
        user_agent=field_value(lines, b"user-agent"),
        queue_ms=-1.0,
        connect_ms=-1.0,
        ttfb_ms=-1.0,
        total_ms=0.0,
        detail=detail,
    )


def session(
    client: str,
    backend: str,
    pool: str,
    why: Why,
    moved: tuple[int, int],
    attempts: int,
    connect_ms: float,
    total_ms: float,
    again: RetryOutcome = RetryOutcome.NEVER_NEEDED,
    queue_ms: float = 0.0,
    tries: Sequence[FailedTry] = (),
    detail: str = "",
) -> AccessRecord:
    """The record of a TCP session. `moved` are the bytes from the client and from the backend."""
    return AccessRecord(
        client=client,
        method="TCP",
        host="",
        path="",
        version="",
        status=0,
        why=why.word,
        bytes_in=moved[0],
        bytes_out=moved[1],
        backend=backend,
        pool=pool,
        attempts=attempts,
        request_id="",
        referer="",
        user_agent="",
        queue_ms=queue_ms,
        connect_ms=connect_ms,
        ttfb_ms=-1.0,
        total_ms=total_ms,
        retry=again.word,
        detail=detail,
        tries=tries,
    )


def open_file(config: model.AccessLog) -> int:
    """Open the file. OSError when it can't be opened."""
    # Non-blocking, or opening a pipe without a reader would block the start.
    fd = os.open(config.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
    os.set_blocking(fd, True)
    return fd


class AccessLog:
    """Formats lines and queues them for its thread. `lost` counts dropped lines."""

    __slots__ = ("_queue", "_thread", "_write_line", "lost")

    def __init__(self, config: model.AccessLog, opened: int | None = None) -> None:
        """Open the output, unless it is `opened`. OSError when the file can't be opened."""
        self._write_line = _combined if config.format == "combined" else _json
        if config.output in ("stdout", "stderr"):
            fd = os.dup((sys.stdout if config.output == "stdout" else sys.stderr).fileno())
        else:
            fd = open_file(config) if opened is None else opened
        self.lost = 0
        self._queue: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._drain, args=(fd,), name="access-log", daemon=True)
        self._thread.start()

    def record(self, record: AccessRecord) -> None:
        """Queue one line, or drop it when the queue is full."""
        try:
            self._queue.put_nowait(self._write_line(record))
        except queue.Full:
            self.lost += 1

    def close(self, timeout_s: float = 2.0) -> None:
        """Write the queued lines and end the thread; waits up to `timeout_s` for each of the two."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def leave(self) -> None:
        """Let the thread write the queued lines and end, without waiting for it. In a full queue lines are dropped."""
        while True:
            try:
                self._queue.put_nowait(None)
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
                    self.lost += 1

    def _drain(self, fd: int) -> None:
        try:
            while (line := self._queue.get()) is not None:
                lines = [line]
                while len(lines) < MAX_AT_ONCE:
                    try:
                        more = self._queue.get_nowait()
                    except queue.Empty:
                        break
                    if more is None:
                        self._write(fd, lines)
                        return
                    lines.append(more)
                self._write(fd, lines)
        finally:
            os.close(fd)

    def _write(self, fd: int, lines: list[str]) -> None:
        data = "".join(lines).encode("utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:  # another process with the same terminal or pipe made it non-blocking
                select.select((), (fd,), ())
            except OSError:  # disk full, pipe closed: count the lines as lost and go on
                self.lost += len(lines)
                return


_RARE: Final = ("detail", "tries", "rule", "user", "region", "backend_region")  # left out where empty
_NAMES: Final = tuple(field.name for field in fields(AccessRecord) if field.name not in _RARE)


def _json(record: AccessRecord) -> str:
    said = {name: getattr(record, name) for name in _NAMES}
    if record.detail:
        said["detail"] = record.detail
    if record.tries:
        said["tries"] = [failed._asdict() for failed in record.tries]
    for name in ("rule", "user", "region", "backend_region"):
        value = getattr(record, name)
        if value:
            said[name] = value
    return json.dumps({"time": _iso(time.time()), **said}) + "\n"


def _iso(now: float) -> str:
    """The time in the format of RFC 3339 (ISO 8601), in UTC with milliseconds."""
    ms = int(now * 1000)
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@functools.lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _combined(record: AccessRecord) -> str:
    """Apache's combined log format."""
    when = time.strftime("%d/%b/%Y:%H:%M:%S %z")
    line = _quoted(f"{record.method} {record.path} {record.version}")
    client, size = f"{record.client} - {_user(record.user)}", record.bytes_out or "-"
    return f"{client} [{when}] {line} {record.status} {size} {_quoted(record.referer)} {_quoted(record.user_agent)}\n"


def _user(name: str) -> str:
    """The third column: no space or bracket in a name may move the columns behind it."""
    return _UNSAFE_NAME.sub(_escaped, name) if name else "-"


def _quoted(text: str) -> str:
    return '"' + _UNSAFE.sub(_escaped, text) + '"' if text else '"-"'


def _escaped(match: re.Match[str]) -> str:
    """Escaped as in nginx and Apache: nothing that a client sends may end a line or control a terminal."""
    char = match[0]
    escaped = "\\" + char if char in '"\\' else char.encode("unicode_escape").decode("ascii")
    return escaped if escaped != char else f"\\x{ord(char):02x}"
