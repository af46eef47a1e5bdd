"""A reload's new configuration on its way from the order to the prepare requests.

    order ──load_request_for()──▶ LoadRequest ──loader──▶ Loaded ──propose()──▶ Proposal ──open_sockets()──▶ NewConfig

A dry run ends with the Proposal. Nothing here changes what is served: see `reload`.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace

from balance.admin.supervisor_orders import ChangeBackends, ChangeDiscovered, OrderResult, Reload
from balance.config.fault_ends import fault_ends, with_fault_ends
from balance.config.overrides.difference import difference, summary
from balance.discovery.discovered_pool import replaced
from balance.errors import StartError
from balance.process.children.child import Child
from balance.process.children.child_context import ChildContext
from balance.process.children.supervisor_state import SupervisorState
from balance.process.generation import Generation
from balance.process.ipc.messages import ConfigUpdate, PrepareRequest
from balance.process.operations.load_config import Loaded, LoadRequest
from balance.process.sockets.listen_sockets import (
    ListenSockets,
    ListenSocketsChange,
    ResolvedHosts,
    inode,
    open_changed,
    rebound,
)
from balance.runtime.backend_slots import Assignment, NoRoomError

DISCOVERY_ORIGIN = "discovery"
RUNTIME_CHANGE_ORIGIN = "change at run time"  # where a configuration comes from that no file says
UPGRADE_HINT = "`balance upgrade` starts an instance that has it"


class ConfigRejectedError(Exception):
    """There is no such configuration, or this instance cannot serve it; the message is one line."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration that this instance can serve. No socket is opened for it."""

    generation: Generation
    assignment: Assignment
    lines: tuple[str, ...]  # what differs from what is served
    dropped: tuple[str, ...]  # what was changed at run time and does not hold any more
    hosts: ResolvedHosts

    @property
    def number(self) -> int:
        return self.generation.number

    @property
    def summary(self) -> str:
        """The difference in a few words."""
        return summary(self.lines)

    def order_result(self, number: int) -> OrderResult:
        """That it is good, while the configuration of that number is served."""
        return OrderResult(True, number, self.lines, (), self.dropped, self.summary)

    def open_sockets(self, context: ChildContext) -> NewConfig:
        """Open its listening sockets beside the present ones. ConfigRejectedError when an address is not available."""
        try:
            listen_sockets, sockets_change = open_changed(
                self.generation.config, context.config, context.listen_sockets, self.hosts
            )
        except StartError as error:
            raise ConfigRejectedError(str(error)) from None
        lines = (*self.lines, *rebound(self.generation.config, context.config, context.listen_sockets, listen_sockets))
        generation = self.generation
        if not generation.refreshed:  # else it is what the order or the file has changed
            generation = replace(generation, summary=summary(lines))
        return NewConfig(generation, self.assignment, lines, self.dropped, self.hosts, listen_sockets, sockets_change)


@dataclass(frozen=True, slots=True)
class NewConfig(Proposal):
    """A proposal with its sockets: every child can be asked to prepare it."""

    listen_sockets: ListenSockets
    sockets_change: ListenSocketsChange  # its accept() or undo() is due

    @property
    def config_update(self) -> ConfigUpdate:
        generation = self.generation
        slots = dict(generation.slots)
        return ConfigUpdate(
            generation.number,
            generation.config,
            slots,
            generation.made_at,
            generation.origin,
            generation.summary,
            generation.refreshed,
        )

    def is_served(self, context: ChildContext) -> bool:
        """Whether it equals the configuration that is served, in all but the source text."""
        config = replace(self.generation.config, source=context.config.source)
        return config == context.config and self.listen_sockets.is_same_as(context.listen_sockets, config.workers)

    def prepare_request(self, child: Child, log_files: tuple[str, ...] = ()) -> tuple[PrepareRequest, list[socket.socket]]:
        """The prepare request for one child, and the sockets that it does not have yet."""
        configured = self.listen_sockets.for_child(child.worker_number)
        inodes = [inode(sock) for _, sock in configured]
        new = [(number, sock) for number, (_, sock) in zip(inodes, configured, strict=True) if number not in child.inodes]
        listening = tuple((listen_address.listener, listen_address.address) for listen_address in self.listen_sockets.listeners)
        prepare_request = PrepareRequest(
            self.number,
            tuple((name, number) for number, (name, _) in zip(inodes, configured, strict=True)),
            tuple(number for number, _ in new),
            listening if child.worker_number is None else (),
            log_files,
        )
        return prepare_request, [sock for _, sock in new]


def load_request_for(
    order: Reload | ChangeBackends | ChangeDiscovered, context: ChildContext, origin: str
) -> tuple[LoadRequest, str]:
    """What an order asks to load, and its origin for the log. ConfigRejectedError when there is no rollback target."""
    current = context.generation
    found = current.discovered
    if isinstance(order, ChangeDiscovered):
        return LoadRequest(current.source, False, current.changes, discovered=replaced(found, order.sets)), DISCOVERY_ORIGIN
    if isinstance(order, ChangeBackends):
        why = RUNTIME_CHANGE_ORIGIN if order.changes else origin
        return LoadRequest(current.source, False, (*current.changes, *order.changes), discovered=found), why
    changes = () if order.discard_changes else current.changes
    if order.rollback:
        before = context.before(order.to)
        if before is None:
            raise ConfigRejectedError(_rollback_problem(context, order.to))
        # What is found is as it is now, where it is known: no rollback brings back a server that is gone.
        known = replaced(before.discovered, found)
        request = LoadRequest(before.source, False, () if order.discard_changes else before.changes, discovered=known)
        return request, f"rollback to {before.number}"
    if order.text is not None:
        return LoadRequest(current.source.with_text(order.text), False, changes, discovered=found), origin
    return LoadRequest(current.source, True, changes, discovered=found), origin


def _rollback_problem(context: ChildContext, to: int) -> str:
    if not to:
        return "there is no configuration before this one, or none that differs, to go back to"
    if to == context.generation.number:
        return f"generation {to} is the one that is served"
    known = ", ".join(str(generation.number) for generation in context.history[:-1]) or "none"
    return f"there is no generation {to} to go back to; remembered before this one: {known}"


def propose(loaded: Loaded, supervisor_state: SupervisorState, origin: str) -> Proposal:
    """What was loaded, as the next generation. ConfigRejectedError when shared memory has no room for it."""
    context, now = supervisor_state.context, time.time()
    if (loaded.config.user, loaded.config.group) != (context.config.user, context.config.group):
        key = "user" if loaded.config.user != context.config.user else "group"
        raise ConfigRejectedError(loaded.refused(key, f"user and group are those of processes that live; {UPGRADE_HINT}"))
    if loaded.config.metrics.time_buckets_us != context.board.time_buckets_us:
        why = f"can't change while it counts; {UPGRADE_HINT}, and counts anew"
        raise ConfigRejectedError(loaded.refused("metrics.buckets", why))
    config = with_fault_ends(loaded.config, fault_ends(context.config), now)
    lines = difference(context.config, config)
    try:
        assignment = supervisor_state.book.assign(config, context.board.is_unused)
    except NoRoomError as error:
        raise ConfigRejectedError(f"{error}; {UPGRADE_HINT}") from None
    most = context.board.max_rows // 2
    if config.workers > most:
        raise ConfigRejectedError(
            f"workers: {config.workers} are more than the {most} that there is room for here; {UPGRADE_HINT}"
        )
    current = context.generation
    generation = Generation(
        current.number + 1,
        config,
        assignment.slots,
        loaded.source,
        loaded.changes,
        current.made_at if origin == DISCOVERY_ORIGIN else now,
        current.origin if origin == DISCOVERY_ORIGIN else origin,
        current.summary if origin == DISCOVERY_ORIGIN else "",
        discovered=loaded.discovered,
        refreshed=current.base if origin == DISCOVERY_ORIGIN else 0,
    )
    return Proposal(generation, assignment, lines, loaded.dropped, loaded.hosts)
