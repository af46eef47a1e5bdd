"""The handover between an old and a new instance: listening sockets, shared memory, locks, slot book, runtime changes.

    old                                          new
    forks and executes the same command  ──▶     loads its configuration
    HANDOVER_MESSAGE, with descriptors   ──▶     uses the same sockets and shared memory
                                         ◀──     READY: its workers accept; or FAILED and why
    its workers drain
                                         ◀──     STOP, or EOF: finish within your time

Several old instances may be draining at once. The serving one holds the pipes to all of them, so that each ends with the
service and not with its direct successor. The message is plain data, so that another version can read it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from dataclasses import fields as fields_of
from typing import Any

from balance.config.fault_ends import FaultEnd, fault_ends
from balance.config.overrides.route_switch import RouteSwitch
from balance.config.overrides.runtime_overrides import BackendChange, RuntimeChange, Verb
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.errors import StartError
from balance.process.children.autoscaling_state import AutoscalingState, changes_of
from balance.process.children.child import SupervisorPipe
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.messages import HANDOVER_ENV, NO_DESCRIPTORS, READY
from balance.process.ipc.pipe import Message, PipeEnd
from balance.process.shared_memory.board import layout
from balance.security.key_set import NOTHING, JwksSource, KeyState

HANDOVER_MESSAGE, STOP = "legacy", "stop"
HANDOVER_TIMEOUT_S = 10.0


@dataclass(slots=True)
class HandoverState:
    """What the new instance receives."""

    predecessor_pipes: list[PipeEnd]  # to all draining instances; the first one is replaced now
    board_fd: int
    locks_fd: int
    sockets: list[socket.socket]
    owned_paths: list[str]
    ephemeral_ports: dict[tuple[str, str], str]  # (listener, configured address) -> bound address, for port 0
    max_rows: int
    max_slots: int
    book: list[tuple[tuple[str, str, str], int, bool]]  # see SlotBook.dump()
    generation: int
    changes: list[RuntimeChange] = field(default_factory=list)
    has_same_layout: bool = True
    fault_ends: list[FaultEnd] = field(default_factory=list)
    key_states: dict[JwksSource, KeyState] = field(default_factory=dict)
    autoscaling: AutoscalingState = field(default_factory=AutoscalingState)
    discovered: list[DiscoveredPool] = field(default_factory=list)

    def notify_ready(self) -> None:
        """The new instance serves."""
        self.predecessor_pipes[0].send(READY, os.getpid())

    def notify_failed(self, failure_reason: str) -> None:
        """The new instance cannot take over, and exits."""
        SupervisorPipe(self.predecessor_pipes[0]).notify_failed(failure_reason)

    def stop(self, limit_s: float) -> None:
        """The new instance stops, and so shall the old ones that still drain."""
        for end in self.predecessor_pipes:
            end.send(STOP, limit_s)

    def live_predecessors(self) -> list[PipeEnd]:
        """The pipes to the old instances that have not exited."""
        self.predecessor_pipes = [end for end in self.predecessor_pipes if end.receive()[1]]
        return self.predecessor_pipes

    def close_pipe(self) -> None:
        """In a child: its copies would keep the pipes open after the instance's end."""
        for end in self.predecessor_pipes:
            end.close()


def hand_over(
    end: PipeEnd,
    supervisor_state: SupervisorState,
    ephemeral_ports: Mapping[tuple[str, str], str],
    draining_predecessors: Sequence[PipeEnd] = (),
) -> bool:
    """Send the handover message. False when the new instance is gone. `draining_predecessors` are pipes to older instances."""
    context = supervisor_state.context
    sockets = context.listen_sockets.sockets
    fields: dict[str, Any] = {
        "layout": layout(),
        "elders": len(draining_predecessors),
        "max_rows": context.board.max_rows,
        "max_slots": context.board.max_slots,
        "book": supervisor_state.book.dump(),
        "owned_paths": context.listen_sockets.owned_paths,
        "any_port": [(listener, configured, bound) for (listener, configured), bound in ephemeral_ports.items()],
        "generation": context.generation.number,
        "changes": [
            (str(change.verb), change.pool, change.name, change.values, change.basis)
            for change in context.generation.changes
            if isinstance(change, BackendChange)
        ],
        "switches": [
            (change.listener, change.route, change.active, change.basis)
            for change in context.generation.changes
            if isinstance(change, RouteSwitch)
        ],
        "fault_ends": [tuple(end) for end in fault_ends(context.config)],
        "scaled": context.autoscaling.changes,
        "keeper": context.autoscaling.keeper_fd is not None,
        "discovered": [
            (each.pool, [astuple(endpoint) for endpoint in each.endpoints], each.absent, each.by)
            for each in context.generation.discovered
        ],
        "keys": [(tuple(source), tuple(state)) for source, state in context.key_states.items()],
    }
    fds = [
        context.board.fd,
        context.locks.fileno(),
        *(predecessor.fileno() for predecessor in draining_predecessors),
        *(sock.fileno() for sock in sockets),
        *(() if context.autoscaling.keeper_fd is None else (context.autoscaling.keeper_fd,)),
    ]
    return end.send(HANDOVER_MESSAGE, fields | {"fds": len(fds)}, fds)


def take_over(environ: dict[str, str] | os._Environ[str]) -> HandoverState | None:
    """Receive the handover message; None when this instance replaces none. StartError when the message does not come."""
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
    """Before take_over(): tell the old instance, if any, why this process cannot take over."""
    with contextlib.suppress(KeyError, OSError, ValueError):
        SupervisorPipe(PipeEnd(socket.socket(fileno=int(environ[HANDOVER_ENV])))).notify_failed(failure_reason)


def _first_message(end: PipeEnd, timeout_s: float) -> Message:
    """Wait for the handover message; many sockets take several packets."""
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
    fields = message.data
    if len(message.fds) < fields.get("fds", 2):
        raise StartError(NO_DESCRIPTORS)
    board_fd, locks_fd, *rest = message.fds
    keeper_fd = rest.pop() if fields.get("keeper") else None  # older versions have none
    draining_predecessors, rest = rest[: fields["elders"]], rest[fields["elders"] :]
    return HandoverState(
        predecessor_pipes=[end, *(PipeEnd(socket.socket(fileno=fd)) for fd in draining_predecessors)],
        board_fd=board_fd,
        locks_fd=locks_fd,
        sockets=[socket.socket(fileno=fd) for fd in rest],
        owned_paths=fields["owned_paths"],
        ephemeral_ports={(listener, configured): bound for listener, configured, bound in fields["any_port"]},
        max_rows=fields["max_rows"],
        max_slots=fields["max_slots"],
        book=[((pool, name, address), slot, is_present) for (pool, name, address), slot, is_present in fields["book"]],
        generation=fields["generation"],
        changes=[
            *(BackendChange(Verb(verb), *rest) for verb, *rest in fields["changes"]),
            *(RouteSwitch(*switch) for switch in fields.get("switches", ())),  # older versions know none
        ],
        has_same_layout=fields["layout"] == layout() and board_fd >= 0,
        autoscaling=AutoscalingState(keeper_fd, changes_of(fields.get("scaled", {}))),
        fault_ends=[FaultEnd(*end) for end in fields.get("fault_ends", ())],  # likewise
        key_states={
            JwksSource(*source): KeyState(*state)
            for source, state in fields.get("keys", ())
            if len(source) == len(JwksSource._fields) and len(state) == len(NOTHING)  # another version may know others
        },
        discovered=[
            DiscoveredPool(pool, tuple(map(_endpoint, endpoints)), tuple(absent), by)
            for pool, endpoints, absent, by in fields.get("discovered", ())
        ],
    )


def _endpoint(values: Sequence[Any]) -> Endpoint:
    """Another version may know fewer fields of one, or more."""
    return Endpoint(*values[: len(fields_of(Endpoint))])


def exec_same_command(end: PipeEnd, environment: Mapping[str, str]) -> None:
    """In a forked child: execve(2) the same command with the installed version. Does not return."""
    os.set_inheritable(end.fileno(), True)
    environ = {**os.environ, **environment, HANDOVER_ENV: str(end.fileno())}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)
