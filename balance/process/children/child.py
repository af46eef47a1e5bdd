"""One forked process as the supervisor sees it: how it is born, what it says, how it died. Who takes its place: `post`.

Knows nothing of what it does. A child has a line of its own to the supervisor: it says once that it is ready, or the one line
that says why it cannot be, and hears what it is to do. Whatever happens in it, it never returns into the supervisor's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
from collections.abc import Callable

from balance.errors import BalanceError
from balance.process.ipc.messages import END, FAILED, READY
from balance.process.ipc.pipe import Message, PipeEnd, pipe

log = logging.getLogger("balance.process")

COMPLAINT_CHARS = 4000

YOUNG_S = 10.0  # who dies younger than this is likely to die again
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 10.0


class ChildState(enum.Enum):
    """How far a child is."""

    GONE = "gone"  # there is no process
    STARTING = "starting"  # there is one, and it has not reported yet
    READY = "ready"
    LEAVING = "leaving"  # told to end


class Report:
    """The child's end of its line."""

    __slots__ = ("end", "is_ready")

    def __init__(self, end: PipeEnd) -> None:
        self.end = end
        self.is_ready = False

    def ready(self) -> None:
        """The child does its work now."""
        self.is_ready = True
        self.end.say(READY)

    def failed(self, complaint: str) -> None:
        """The child cannot do its work; `complaint` tells the user why."""
        self.end.say(FAILED, " ".join(complaint.split())[:COMPLAINT_CHARS])


class Child:
    """One life of one process."""

    __slots__ = ("complaint", "end", "inodes", "life", "name", "pid", "row", "slot", "started_at")

    def __init__(self, name: str, slot: int | None = None, row: int | None = None) -> None:
        """`slot` is a worker's number, whose listening sockets it has, and `row` where it counts; None for the others."""
        self.name = name
        self.slot = slot
        self.row = row
        self.life = ChildState.GONE
        self.pid = 0
        self.end: PipeEnd | None = None
        self.complaint = ""  # why it cannot work, in its own words
        self.started_at = 0.0
        self.inodes: frozenset[int] = frozenset()  # of the listening sockets that it has

    def start(self, now: float, body: Callable[[Report], int]) -> None:
        """Fork; `body` is what the process does, and returns the exit status. Only the parent returns.

        OSError when there is no room for another process.
        """
        self.started_at = now
        self.end, theirs = pipe()
        # A signal that came between fork() and the child's own handlers would be taken for the supervisor's.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self.end.close()
                run_and_exit(body, Report(theirs), mask)
        except OSError:
            self.hang_up()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self.life = ChildState.STARTING

    def listen(self) -> tuple[list[Message], bool]:
        """What the child has said by now beyond reports of itself, and whether more can come."""
        if self.end is None:
            return [], False
        messages, is_open = self.end.heard()
        others = []
        for message in messages:
            if message.kind == READY:
                if self.life is ChildState.STARTING:
                    self.life = ChildState.READY
            elif message.kind == FAILED:
                self.complaint = str(message.data)
            else:
                others.append(message)
        return others, is_open

    def say(self, kind: str, data: object = None) -> bool:
        """Tell it something. False when it is gone or takes nothing."""
        return self.end is not None and self.end.say(kind, data)

    def finish(self, limit_s: float) -> None:
        """Have it end what it does, within `limit_s`, and exit."""
        if self.life is not ChildState.GONE:
            self.life = ChildState.LEAVING
            self.say(END, limit_s)

    def reap(self) -> int | None:
        """The wait status if the process has ended, None while it lives. After it, life is GONE; hang_up() is due."""
        if self.life is ChildState.GONE:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.life = ChildState.GONE
        return status

    def hang_up(self) -> None:
        if self.end is not None:
            self.end.close()
            self.end = None

    def kill(self) -> None:
        if self.life is not ChildState.GONE:
            os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own


def next_backoff_s(backoff_s: float, lived_s: float) -> float:
    """Doubles while children die young, starts over when one has lived."""
    if lived_s >= YOUNG_S:
        return 0.0
    return min(max(2 * backoff_s, FIRST_BACKOFF_S), MAX_BACKOFF_S)


def how_it_ended(status: int) -> str:
    """A wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def obey(loop: asyncio.AbstractEventLoop, report: Report, heard: Callable[[Message], object]) -> None:
    """In the child: call `heard` with whatever the supervisor says, also what it has said already."""

    def readable() -> None:
        messages, is_open = report.end.heard()
        if not is_open:
            loop.remove_reader(report.end.fileno())  # the lifeline says the rest
        for message in messages:
            try:
                heard(message)
            except Exception:  # what comes behind it may be the order to end
                log.exception("a word of the supervisor's was not understood")

    loop.add_reader(report.end.fileno(), readable)


def run_and_exit(body: Callable[[Report], int], report: Report, mask: set[int | signal.Signals]) -> None:
    """In the child, right after the fork: leave the supervisor's signals behind, do the work, and end the process."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A terminal, `timeout` and systemd send these to every process of the group; the supervisor decides.
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = body(report)
    except (BalanceError, OSError) as error:
        if report.is_ready:
            log.error("%s", error)
        else:
            report.failed(str(error))  # the supervisor says it, in one line
    except BaseException as error:
        report.failed(f"{type(error).__name__}: {error}")
        log.critical("crashed: %s: %s", type(error).__name__, error, exc_info=error)
    finally:
        os._exit(status)
