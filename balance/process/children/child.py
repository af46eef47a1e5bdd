"""A forked child process as the supervisor sees it: fork, its messages, its exit status.

Each child has a pipe of its own to the supervisor. It reports once that it is ready, or the one-line reason why it cannot be,
and then receives orders. What a child does is not known here. A child never returns into the supervisor's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
from collections.abc import Callable, Sequence

from balance.errors import BalanceError
from balance.process.ipc import untrusted
from balance.process.ipc.messages import FAILED, GRACEFUL_STOP, READY
from balance.process.ipc.pipe import Message, PipeEnd, pipe_pair

log = logging.getLogger("balance.process")

MAX_REASON_CHARS = 4000


class ChildState(enum.Enum):
    """The states of a child process."""

    EXITED = "gone"  # there is no process
    STARTING = "starting"  # forked, not ready yet
    READY = "ready"
    STOPPING = "stopping"  # told to drain and exit


class SupervisorPipe:
    """The child's end of its pipe to the supervisor."""

    __slots__ = ("has_notified_ready", "pipe_end")

    def __init__(self, pipe_end: PipeEnd) -> None:
        self.pipe_end = pipe_end
        self.has_notified_ready = False

    def notify_ready(self) -> None:
        """Report that the child does its work from now on."""
        self.has_notified_ready = True
        self.pipe_end.send(READY)

    def notify_failed(self, failure_reason: str) -> None:
        """Report that the child cannot do its work; `failure_reason` is shown to the user."""
        self.pipe_end.send(FAILED, " ".join(failure_reason.split())[:MAX_REASON_CHARS])


class Child:
    """One child process, from its fork to its exit."""

    __slots__ = ("_is_trusted", "failure_reason", "inodes", "name", "pid", "pipe_end", "row", "started_at", "state",
                 "worker_number")  # fmt: skip

    def __init__(self, name: str, worker_number: int | None = None, row: int | None = None, *, is_trusted: bool = True) -> None:
        """`worker_number` and `row` (of shared memory) are for workers; None for every other child. Not `is_trusted`: it may be
        taken over, so that orders and plain data are read from it alone.
        """
        self._is_trusted = is_trusted
        self.name = name
        self.worker_number = worker_number
        self.row = row
        self.state = ChildState.EXITED
        self.pid = 0
        self.pipe_end: PipeEnd | None = None
        self.failure_reason = ""  # why it could not start, as it reported
        self.started_at = 0.0
        self.inodes: frozenset[int] = frozenset()  # of the listening sockets that it has

    def start(self, now: float, main: Callable[[SupervisorPipe], int]) -> None:
        """Fork and run `main` in the child, which returns the exit status. Only the parent returns.

        OSError when no process can be forked.
        """
        self.started_at = now
        self.pipe_end, child_end = pipe_pair() if self._is_trusted else pipe_pair(untrusted.loads)
        # A signal that came between fork() and the child's own handlers would be taken for the supervisor's.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self.pipe_end.close()
                run_and_exit(main, SupervisorPipe(child_end), mask)
        except OSError:
            self.close_pipe()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            child_end.close()
        self.state = ChildState.STARTING

    def receive(self) -> tuple[list[Message], bool]:
        """Handle the child's READY and FAILED; returns the other messages, and False when the pipe is closed."""
        if self.pipe_end is None:
            return [], False
        messages, is_open = self.pipe_end.receive()
        other_messages = []
        for message in messages:
            if message.kind == READY:
                if self.state is ChildState.STARTING:
                    self.state = ChildState.READY
            elif message.kind == FAILED:
                self.failure_reason = str(message.data)
            else:
                other_messages.append(message)
        return other_messages, is_open

    def send(self, kind: str, data: object = None, fds: Sequence[int] = ()) -> bool:
        """Send one message. False when the child is gone or its pipe is full."""
        return self.pipe_end is not None and self.pipe_end.send(kind, data, fds)

    def stop_gracefully(self, limit_s: float) -> None:
        """Tell the child to drain, within `limit_s`, and exit."""
        if self.state is not ChildState.EXITED:
            self.state = ChildState.STOPPING
            self.send(GRACEFUL_STOP, limit_s)

    def reap(self) -> int | None:
        """The wait status if the process has exited, None while it runs. close_pipe() is due afterwards."""
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
            os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the kernel has not reused the pid


def describe_exit_status(status: int) -> str:
    """A wait status as text for the log."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def watch_messages(
    loop: asyncio.AbstractEventLoop, supervisor_pipe: SupervisorPipe, on_message: Callable[[Message], object]
) -> None:
    """In the child: call `on_message` for each message of the supervisor, those that wait already included."""

    def on_readable() -> None:
        messages, is_open = supervisor_pipe.pipe_end.receive()
        if not is_open:
            loop.remove_reader(supervisor_pipe.pipe_end.fileno())  # the liveness pipe tells that the supervisor is dead
        for message in messages:
            try:
                on_message(message)
            except Exception:  # the next message may be the order to stop
                log.exception("a word of the supervisor's was not understood")

    loop.add_reader(supervisor_pipe.pipe_end.fileno(), on_readable)


def run_and_exit(
    main: Callable[[SupervisorPipe], int], supervisor_pipe: SupervisorPipe, mask: set[int | signal.Signals]
) -> None:
    """In the child, right after the fork: reset the signal handling, run `main`, and exit."""
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
            supervisor_pipe.notify_failed(str(error))  # the supervisor logs it
    except BaseException as error:
        supervisor_pipe.notify_failed(f"{type(error).__name__}: {error}")
        log.critical("crashed: %s: %s", type(error).__name__, error, exc_info=error)
    finally:
        os._exit(status)
