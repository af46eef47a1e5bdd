"""One forked process as the supervisor sees it: how it is born, what it reports, how it died, when it comes back.

Knows nothing of what it does. A child reports over a pipe of its own, once: that it is ready, or the one line that says
why it cannot be. Whatever happens in it, it never returns into the supervisor's code.
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

log = logging.getLogger("balance.process")

END = signal.SIGUSR1  # the supervisor's order to a child: finish what you do and exit
READY = b"ready\n"
REPORT_BYTES = 4096

YOUNG_S = 10.0  # who dies younger than this is likely to die again
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 10.0


class Life(enum.Enum):
    """How far a child is."""

    GONE = "gone"  # there is no process
    STARTING = "starting"  # there is one, and it has not reported yet
    READY = "ready"


class Report:
    """The child's end of its pipe."""

    __slots__ = ("_fd", "is_ready")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.is_ready = False

    def ready(self) -> None:
        """The child does its work now."""
        self.is_ready = True
        self._write(READY)

    def failed(self, line: str) -> None:
        """The child cannot do its work; `line` tells the user why."""
        self._write(" ".join(line.split()).encode("utf-8", "replace")[: REPORT_BYTES - 1] + b"\n")

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone: the lifeline tells that
            os.write(self._fd, data)


class Child:
    """One place for a process, filled again and again."""

    __slots__ = ("_backoff_s", "_body", "_heard", "_started", "life", "name", "pid", "report_fd", "restart_at", "slot")

    def __init__(self, name: str, slot: int | None, body: Callable[[Report], int]) -> None:
        """`slot` is a worker's, None for control. `body` is what the process does; it returns the exit status."""
        self.name = name
        self.slot = slot
        self.life = Life.GONE
        self.pid = 0
        self.report_fd = -1
        self.restart_at: float | None = None  # when a successor is due
        self._body = body
        self._heard = b""
        self._started = 0.0
        self._backoff_s = 0.0

    def start(self, now: float) -> None:
        """Fork. Only the parent returns. OSError when there is no room for another process."""
        self.restart_at = None
        self._heard = b""
        self._started = now
        self.report_fd, write_fd = os.pipe()
        # A signal that came between fork() and the child's own handlers would be taken for the supervisor's.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                run_and_exit(self._body, Report(write_fd), mask)
        except OSError:
            self.close_report()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(write_fd)
        self.life = Life.STARTING
        os.set_blocking(self.report_fd, False)

    def listen(self) -> bool:
        """Take in what the child has reported by now. False when there is nothing more to come."""
        try:
            while data := os.read(self.report_fd, REPORT_BYTES):
                self._heard += data
        except BlockingIOError:
            return True
        finally:
            if self._heard.startswith(READY) and self.life is Life.STARTING:
                self.life = Life.READY
        return False

    @property
    def complaint(self) -> str:
        """The line with which the child said why it cannot work, or nothing."""
        return "" if self._heard.startswith(READY) else self._heard.decode("utf-8", "replace").strip()

    def reap(self) -> int | None:
        """The wait status if the process has ended, None while it lives. After it, life is GONE; close_report() is due."""
        if self.life is Life.GONE:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.listen()
        self.life = Life.GONE
        return status

    def close_report(self) -> None:
        if self.report_fd >= 0:
            os.close(self.report_fd)
            self.report_fd = -1

    def send(self, signum: signal.Signals) -> None:
        if self.life is not Life.GONE:
            os.kill(self.pid, signum)  # not reaped yet, so the number is still its own

    def schedule_restart(self, now: float) -> float:
        """Decide when a successor starts; returns the delay. At once, unless the children here keep dying young."""
        self._backoff_s = next_backoff_s(self._backoff_s, now - self._started)
        # The first successor waits for nothing: connections are queuing for it.
        delay_s = 0.0 if self._backoff_s <= FIRST_BACKOFF_S else self._backoff_s
        self.restart_at = now + delay_s
        return delay_s


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


def obey(loop: asyncio.AbstractEventLoop, finish: Callable[[], object]) -> None:
    """In the child: call `finish` when the supervisor orders the end, also when it did so already."""
    loop.add_signal_handler(END, finish)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {END})


def run_and_exit(body: Callable[[Report], int], report: Report, mask: set[int | signal.Signals]) -> None:
    """In the child, right after the fork: leave the supervisor's signals behind, do the work, and end the process."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A terminal, `timeout` and systemd send these to every process of the group; the supervisor decides.
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, END})  # the order waits until there is a handler to take it
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
