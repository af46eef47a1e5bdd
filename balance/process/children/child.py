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
from balance.process.ipc.messages import FAILED, GRACEFUL_STOP, READY
from balance.process.ipc.pipe import Message, PipeEnd, pipe_pair

log = logging.getLogger("balance.process")

MAX_REASON_CHARS = 4000


class ChildState(enum.Enum):
    """How far a child is."""

    EXITED = "gone"  # there is no process
    STARTING = "starting"  # there is one, and it has not reported yet
    READY = "ready"
    LEAVING = "leaving"  # told to end


class SupervisorPipe:
    """The child's end of its line."""

    __slots__ = ("has_notified_ready", "pipe_end")

    def __init__(self, pipe_end: PipeEnd) -> None:
        self.pipe_end = pipe_end
        self.has_notified_ready = False

    def notify_ready(self) -> None:
        """The child does its work now."""
        self.has_notified_ready = True
        self.pipe_end.send(READY)

    def notify_failed(self, failure_reason: str) -> None:
        """The child cannot do its work; `complaint` tells the user why."""
        self.pipe_end.send(FAILED, " ".join(failure_reason.split())[:MAX_REASON_CHARS])


class Child:
    """One life of one process."""

    __slots__ = ("failure_reason", "inodes", "name", "pid", "pipe_end", "row", "started_at", "state", "worker_number")

    def __init__(self, name: str, worker_number: int | None = None, row: int | None = None) -> None:
        """`slot` is a worker's number, whose listening sockets it has, and `row` where it counts; None for the others."""
        self.name = name
        self.worker_number = worker_number
        self.row = row
        self.state = ChildState.EXITED
        self.pid = 0
        self.pipe_end: PipeEnd | None = None
        self.failure_reason = ""  # why it cannot work, in its own words
        self.started_at = 0.0
        self.inodes: frozenset[int] = frozenset()  # of the listening sockets that it has

    def start(self, now: float, main: Callable[[SupervisorPipe], int]) -> None:
        """Fork; `body` is what the process does, and returns the exit status. Only the parent returns.

        OSError when there is no room for another process.
        """
        self.started_at = now
        self.pipe_end, theirs = pipe_pair()
        # A signal that came between fork() and the child's own handlers would be taken for the supervisor's.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self.pipe_end.close()
                run_and_exit(main, SupervisorPipe(theirs), mask)
        except OSError:
            self.close_pipe()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self.state = ChildState.STARTING

    def receive(self) -> tuple[list[Message], bool]:
        """What the child has said by now beyond reports of itself, and whether more can come."""
        if self.pipe_end is None:
            return [], False
        messages, is_open = self.pipe_end.receive()
        others = []
        for message in messages:
            if message.kind == READY:
                if self.state is ChildState.STARTING:
                    self.state = ChildState.READY
            elif message.kind == FAILED:
                self.failure_reason = str(message.data)
            else:
                others.append(message)
        return others, is_open

    def send(self, kind: str, data: object = None) -> bool:
        """Tell it something. False when it is gone or takes nothing."""
        return self.pipe_end is not None and self.pipe_end.send(kind, data)

    def stop_gracefully(self, limit_s: float) -> None:
        """Have it end what it does, within `limit_s`, and exit."""
        if self.state is not ChildState.EXITED:
            self.state = ChildState.LEAVING
            self.send(GRACEFUL_STOP, limit_s)

    def reap(self) -> int | None:
        """The wait status if the process has ended, None while it lives. After it, life is GONE; hang_up() is due."""
        if self.state is ChildState.EXITED:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.state = ChildState.EXITED
        return status

    def close_pipe(self) -> None:
        if self.pipe_end is not None:
            self.pipe_end.close()
            self.pipe_end = None

    def kill(self) -> None:
        if self.state is not ChildState.EXITED:
            os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own


def describe_exit_status(status: int) -> str:
    """A wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def watch_messages(
    loop: asyncio.AbstractEventLoop, supervisor_pipe: SupervisorPipe, on_message: Callable[[Message], object]
) -> None:
    """In the child: call `heard` with whatever the supervisor says, also what it has said already."""

    def on_readable() -> None:
        messages, is_open = supervisor_pipe.pipe_end.receive()
        if not is_open:
            loop.remove_reader(supervisor_pipe.pipe_end.fileno())  # the lifeline says the rest
        for message in messages:
            try:
                on_message(message)
            except Exception:  # what comes behind it may be the order to end
                log.exception("a word of the supervisor's was not understood")

    loop.add_reader(supervisor_pipe.pipe_end.fileno(), on_readable)


def run_and_exit(
    main: Callable[[SupervisorPipe], int], supervisor_pipe: SupervisorPipe, mask: set[int | signal.Signals]
) -> None:
    """In the child, right after the fork: leave the supervisor's signals behind, do the work, and end the process."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A terminal, `timeout` and systemd send these to every process of the group; the supervisor decides.
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = main(supervisor_pipe)
    except (BalanceError, OSError) as error:
        if supervisor_pipe.has_notified_ready:
            log.error("%s", error)
        else:
            supervisor_pipe.notify_failed(str(error))  # the supervisor says it, in one line
    except BaseException as error:
        supervisor_pipe.notify_failed(f"{type(error).__name__}: {error}")
        log.critical("crashed: %s: %s", type(error).__name__, error, exc_info=error)
    finally:
        os._exit(status)
