"""What an instance gives to the one that takes its place: its listening sockets, its board, its locks, and what it knows.

    old                                          new
    forks and executes the same command  ──▶     reads its configuration
    LEGACY, with the descriptors         ──▶     listens on the same sockets, counts on the same board
                                         ◀──     READY: its workers accept; or FAILED and why
    its workers drain
                                         ◀──     STOP, or the end of the line: finish within your time

An instance that still finishes what it has may be older than its successor's predecessor, which may end before it. So whoever
serves holds the lines to all of them: each goes on until the service ends, and not until the one that replaced it does.

What is said is plain data, so that another version understands it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.errors import StartError
from balance.process.children.child import SupervisorPipe
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.messages import HANDOVER_ENV, NO_DESCRIPTORS, READY
from balance.process.ipc.pipe import Message, PipeEnd
from balance.process.shared_memory.board import layout

HANDOVER_MESSAGE, STOP = "legacy", "stop"
HANDOVER_TIMEOUT_S = 10.0


@dataclass(slots=True)
class HandoverState:
    """What the new instance finds."""

    predecessor_pipes: list[PipeEnd]  # of the lines to all that still finish what they have; the first one is replaced now
    board_fd: int
    locks_fd: int
    sockets: list[socket.socket]
    owned_paths: list[str]
    ephemeral_ports: dict[tuple[str, str], str]  # (listener, address as configured) -> as bound, for those on port 0
    max_rows: int
    max_slots: int
    book: list[tuple[tuple[str, str, str], int, bool]]  # see SlotBook.dump()
    generation: int
    changes: list[BackendChange] = field(default_factory=list)
    has_same_layout: bool = True

    def notify_ready(self) -> None:
        """The new instance serves."""
        self.predecessor_pipes[0].send(READY, os.getpid())

    def notify_failed(self, failure_reason: str) -> None:
        """The new instance can't take over, and ends."""
        SupervisorPipe(self.predecessor_pipes[0]).notify_failed(failure_reason)

    def stop(self, limit_s: float) -> None:
        """The new instance ends, and what is left of the old ones shall too."""
        for end in self.predecessor_pipes:
            end.send(STOP, limit_s)

    def live_predecessors(self) -> list[PipeEnd]:
        """The lines to those that are not gone yet."""
        self.predecessor_pipes = [end for end in self.predecessor_pipes if end.receive()[1]]
        return self.predecessor_pipes

    def close_pipe(self) -> None:
        """In a child: its copies would keep the lines open when the instance is gone."""
        for end in self.predecessor_pipes:
            end.close()


def hand_over(
    end: PipeEnd,
    supervisor_state: SupervisorState,
    ephemeral_ports: Mapping[tuple[str, str], str],
    draining_predecessors: Sequence[PipeEnd] = (),
) -> bool:
    """Say what there is to take over. False when nobody is there. `elders` are lines to others that still finish something."""
    context = supervisor_state.context
    sockets = context.listen_sockets.sockets
    said: dict[str, Any] = {
        "layout": layout(),
        "elders": len(draining_predecessors),
        "max_rows": context.board.max_rows,
        "max_slots": context.board.max_slots,
        "book": supervisor_state.book.dump(),
        "owned_paths": context.listen_sockets.owned_paths,
        "any_port": [(listener, wanted, bound) for (listener, wanted), bound in ephemeral_ports.items()],
        "generation": context.generation.number,
        "changes": [
            (str(change.verb), change.pool, change.name, change.values, change.basis) for change in context.generation.changes
        ],
    }
    fds = [
        context.board.fd,
        context.locks.fileno(),
        *(predecessor.fileno() for predecessor in draining_predecessors),
        *(sock.fileno() for sock in sockets),
    ]
    return end.send(HANDOVER_MESSAGE, said | {"fds": len(fds)}, fds)


def take_over(environ: dict[str, str] | os._Environ[str]) -> HandoverState | None:
    """What this process was started to take over; None when it was started by itself. StartError when it was cut short."""
    number = environ.pop(HANDOVER_ENV, "")
    if not number:
        return None
    try:
        end = PipeEnd(socket.socket(fileno=int(number)))
        os.set_inheritable(end.fileno(), False)
    except (OSError, ValueError):
        raise StartError(f"{HANDOVER_ENV}={number} names no line to an instance that could be replaced") from None
    return _parse_handover(end, _first_message(end, HANDOVER_TIMEOUT_S))


def report_failure(environ: Mapping[str, str], failure_reason: str) -> None:
    """Before inherit(): tell the instance that was to be replaced, if there is one, why this process can't do it."""
    with contextlib.suppress(KeyError, OSError, ValueError):
        SupervisorPipe(PipeEnd(socket.socket(fileno=int(environ[HANDOVER_ENV])))).notify_failed(failure_reason)


def _first_message(end: PipeEnd, timeout_s: float) -> Message:
    """What the old instance says; with many sockets it comes in several packets."""
    poll = select.poll()  # select() knows no descriptor above 1023
    poll.register(end, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0 and poll.poll(left_s * 1000):
        messages, is_open = end.receive()
        if messages:
            return messages[0]
        if not is_open:
            break
    raise StartError("the instance that was to be replaced has said nothing")


def _parse_handover(end: PipeEnd, message: Message) -> HandoverState:
    said = message.data
    if len(message.fds) < said.get("fds", 2):
        raise StartError(NO_DESCRIPTORS)
    board_fd, locks_fd, *rest = message.fds
    draining_predecessors, rest = rest[: said["elders"]], rest[said["elders"] :]
    return HandoverState(
        predecessor_pipes=[end, *(PipeEnd(socket.socket(fileno=fd)) for fd in draining_predecessors)],
        board_fd=board_fd,
        locks_fd=locks_fd,
        sockets=[socket.socket(fileno=fd) for fd in rest],
        owned_paths=said["owned_paths"],
        ephemeral_ports={(listener, wanted): bound for listener, wanted, bound in said["any_port"]},
        max_rows=said["max_rows"],
        max_slots=said["max_slots"],
        book=[((pool, name, address), slot, is_present) for (pool, name, address), slot, is_present in said["book"]],
        generation=said["generation"],
        changes=[BackendChange(Verb(verb), *rest) for verb, *rest in said["changes"]],
        has_same_layout=said["layout"] == layout() and board_fd >= 0,
    )


def exec_same_command(end: PipeEnd, environment: Mapping[str, str]) -> None:
    """In a forked child: become the same command again, from whatever is installed now. Does not return."""
    os.set_inheritable(end.fileno(), True)
    environ = {**os.environ, **environment, HANDOVER_ENV: str(end.fileno())}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)
