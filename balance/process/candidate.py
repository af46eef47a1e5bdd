"""The configuration that a reload may come to: which one an order means, whether what was read will do here, and what each
process is to know of it.

    order ──wished()──▶ Wish ──the loader──▶ Loaded ──judged()──▶ Proposal ──opened()──▶ Candidate

A dry run ends with the proposal. Nothing here changes what is served: see `reloading`.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace

from balance.config.difference import difference, summary
from balance.errors import StartError
from balance.process.child import Child
from balance.process.estate import Estate
from balance.process.generation import Generation
from balance.process.loading import Loaded, Wish
from balance.process.openings import Hosts, Openings, Renewed, inode, moved, reopen
from balance.process.seat import Seat
from balance.process.words import Blueprint, Preparation
from balance.runtime.slots import Assignment, NoRoomError
from balance.side.steering import ChangeBackends, Reload, Verdict

CHANGED = "change at run time"  # where a configuration comes from that no file says
ELSEWHERE = "`balance upgrade` starts an instance that has it"


class UnfitError(Exception):
    """There is no such configuration, or it can't be served here; the text is the one line that says why."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration that would do here. Nothing is opened for it."""

    generation: Generation
    assignment: Assignment
    lines: tuple[str, ...]  # what differs from what is served
    dropped: tuple[str, ...]  # what was changed at run time and does not hold any more
    hosts: Hosts

    @property
    def number(self) -> int:
        return self.generation.number

    @property
    def summary(self) -> str:
        """What differs, in a few words."""
        return summary(self.lines)

    def verdict(self, number: int) -> Verdict:
        """That it is good, while the configuration of that number is served."""
        return Verdict(True, number, self.lines, (), self.dropped, self.summary)

    def opened(self, seat: Seat) -> Candidate:
        """With what it listens on, beside what is listened on now. UnfitError when an address cannot be had."""
        try:
            openings, renewed = reopen(self.generation.config, seat.config, seat.openings, self.hosts)
        except StartError as error:
            raise UnfitError(str(error)) from None
        lines = (*self.lines, *moved(self.generation.config, seat.config, seat.openings, openings))
        generation = replace(self.generation, summary=summary(lines))
        return Candidate(generation, self.assignment, lines, self.dropped, self.hosts, openings, renewed)


@dataclass(frozen=True, slots=True)
class Candidate(Proposal):
    """One that everybody can be asked to prepare."""

    openings: Openings
    renewed: Renewed  # its accept() or undo() is due

    @property
    def blueprint(self) -> Blueprint:
        generation = self.generation
        slots = dict(generation.slots)
        return Blueprint(generation.number, generation.config, slots, generation.made_at, generation.origin, generation.summary)

    def is_served(self, seat: Seat) -> bool:
        """Whether all of it is as it is served already, whatever the text that it was read from looks like."""
        config = replace(self.generation.config, source=seat.config.source)
        return config == seat.config and self.openings.is_as(seat.openings, config.workers)

    def preparation(self, child: Child) -> tuple[Preparation, list[socket.socket]]:
        """What only that child is to know, and those of its sockets that it does not have."""
        wanted = self.openings.of(child.slot)
        inodes = [inode(sock) for _, sock in wanted]
        new = [(number, sock) for number, (_, sock) in zip(inodes, wanted, strict=True) if number not in child.inodes]
        listening = tuple((opening.listener, opening.address) for opening in self.openings.listeners)
        preparation = Preparation(
            self.number,
            tuple((name, number) for number, (name, _) in zip(inodes, wanted, strict=True)),
            tuple(number for number, _ in new),
            listening if child.slot is None else (),
        )
        return preparation, [sock for _, sock in new]


def wished(order: Reload | ChangeBackends, seat: Seat, origin: str) -> tuple[Wish, str]:
    """What is to be read, and who wants it: `origin`, or where a rollback goes. UnfitError when there is no way back."""
    current = seat.generation
    if isinstance(order, ChangeBackends):
        return Wish(current.source, False, (*current.changes, *order.changes)), CHANGED
    changes = () if order.discard_changes else current.changes
    if order.rollback:
        before = seat.before(order.to)
        if before is None:
            raise UnfitError(_no_way_back(seat, order.to))
        wish = Wish(before.source, False, () if order.discard_changes else before.changes)
        return wish, f"rollback to {before.number}"
    if order.text is not None:
        return Wish(current.source.with_text(order.text), False, changes), origin
    return Wish(current.source, True, changes), origin


def _no_way_back(seat: Seat, to: int) -> str:
    if not to:
        return "there is no configuration before this one, or none that differs, to go back to"
    if to == seat.generation.number:
        return f"generation {to} is the one that is served"
    known = ", ".join(str(generation.number) for generation in seat.history[:-1]) or "none"
    return f"there is no generation {to} to go back to; remembered before this one: {known}"


def judged(loaded: Loaded, estate: Estate, origin: str) -> Proposal:
    """What was read, as the next generation. UnfitError when this instance has no room for it."""
    seat, config = estate.seat, loaded.config
    lines = difference(seat.config, config)
    try:
        assignment = estate.book.assign(config, seat.board.is_unused)
    except NoRoomError as error:
        raise UnfitError(f"{error}; {ELSEWHERE}") from None
    most = seat.board.max_rows // 2
    if config.workers > most:
        raise UnfitError(f"workers: {config.workers} are more than the {most} that there is room for here; {ELSEWHERE}")
    generation = Generation(
        seat.generation.number + 1, config, assignment.slots, loaded.source, loaded.changes, time.time(), origin
    )
    return Proposal(generation, assignment, lines, loaded.dropped, loaded.hosts)
