"""All the listening sockets of one configuration: made by the supervisor, kept by it, each child has its own.

A reload makes others out of them: an address that stays keeps its sockets, whatever the listener is called, and connections
that wait in one are never lost to a change of the number of workers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from balance.config.model import Config
from balance.errors import StartError
from balance.model import Address
from balance.process.sockets.inherited_sockets import InheritedSockets
from balance.process.sockets.listen_address import Ask, ListenAddress, Places, ask, listen, undo

Hosts = Mapping[str, Places]  # what each stands for that a configuration listens on


@dataclass(frozen=True, slots=True)
class ListenSockets:
    """All that is listened on: the listeners by worker slot, and the side doors for control."""

    listeners: tuple[ListenAddress, ...]
    admin: tuple[ListenAddress, ...]
    metrics: tuple[ListenAddress, ...]

    @property
    def side(self) -> tuple[ListenAddress, ...]:
        return self.admin + self.metrics

    def of(self, slot: int | None) -> list[tuple[str, socket.socket]]:
        """What the worker in that slot, or control for None, accepts from: (listener, socket)."""
        if slot is None:
            return [(opening.listener, opening.sockets[0]) for opening in self.side]
        return self.of_worker(slot)

    def of_worker(self, slot: int) -> list[tuple[str, socket.socket]]:
        """What the worker in that slot accepts from: (listener, socket)."""
        return [(opening.listener, opening.sockets[slot]) for opening in self.listeners]

    @property
    def sockets(self) -> list[socket.socket]:
        """Each one once, those of an address in the order of its slots."""
        return list(dict.fromkeys(sock for opening in self.listeners + self.side for sock in opening.sockets))

    @property
    def owned_paths(self) -> list[str]:
        """The Unix sockets whose files are ours to remove."""
        return [each.address.path for each in self.listeners + self.side if each.address.is_unix and each.owns_path]

    def addresses(self, listener: str) -> set[str]:
        """Where that one is, as bound."""
        return {str(opening.address) for opening in self.listeners + self.side if opening.listener == listener}

    def is_as(self, other: ListenSockets, workers: int) -> bool:
        """Whether everybody accepts from the same sockets, for the same listeners."""
        return all(set(self.of(slot)) == set(other.of(slot)) for slot in (*range(workers), None))

    def keep_for_worker(self, slot: int) -> None:
        """In a worker, after the fork: close what is not its own."""
        for opening in self.listeners:
            opening.keep_only(slot)
        for opening in self.side:
            opening.close()

    def close_listeners(self) -> None:
        """In control after the fork, and in the supervisor when the workers drain: its copies would keep the queues open,
        and callers in them waiting for nobody.
        """
        for opening in self.listeners:
            opening.close()

    def close_copies(self) -> None:
        """In a process that has no use for any, and where others go on listening."""
        for opening in self.listeners + self.side:
            opening.close()

    def close_but_keep(self, paths: Collection[str]) -> None:
        """In a supervisor that has failed to take over: the files of these Unix sockets are still somebody's."""
        self.close_copies()
        for opening in self.listeners + self.side:
            if opening.address.path not in paths:
                opening.unlink()

    def close(self) -> None:
        """In the supervisor, when all is over."""
        self.close_copies()
        for opening in self.listeners + self.side:
            opening.unlink()


def moved(config: Config, served: Config, before: ListenSockets, after: ListenSockets) -> tuple[str, ...]:
    """A line for each listener that is configured as before, by a name that stands for other addresses now."""
    stayed = set(_wanted(config)) & set(_wanted(served))
    named = [name for name, address in _wanted(config) if (name, address) in stayed and address.host and not address.is_ip]
    lines = []
    for name in dict.fromkeys(named):
        was, now = before.addresses(name), after.addresses(name)
        if was != now:
            what = name if name in ("admin", "metrics") else f"listener {name}"
            lines.append(f"~ {what}: bound to {', '.join(sorted(was))} -> {', '.join(sorted(now))}")
    return tuple(lines)


def inode(sock: socket.socket) -> int:
    """What a socket is called between processes that have different descriptors for it."""
    return os.fstat(sock.fileno()).st_ino


def open_all(
    config: Config,
    inherited: Sequence[socket.socket] = (),
    owned_paths: Collection[str] = (),
    chosen: Mapping[tuple[str, Address], Address] | None = None,
) -> ListenSockets:
    """Listen on every address of the configuration, or on none: StartError for the first that cannot be had.

    `inherited` sockets are taken where their address is configured, and closed where none is; after a StartError all of
    them are as they were. Unix sockets among them keep their file at the end, unless it is one of `owned_paths`. `chosen` is
    what any_port() said of a predecessor.
    """
    heirloom = InheritedSockets(inherited, owned_paths, chosen)
    listen_sockets = _open(config, heirloom, ask)
    heirloom.close_rest()
    return listen_sockets


def any_port(config: Config, listen_sockets: ListenSockets) -> dict[tuple[str, Address], Address]:
    """What the kernel chose for the configured addresses that leave the port to it, by listener and address: the same
    address with that port, for a name may stand for several.
    """
    given = {(name, wanted.port) for name, wanted in _wanted(config)}
    return {
        (name, wanted): Address(wanted.host, opening.address.port)
        for name, wanted in _wanted(config)
        if not wanted.port and not wanted.is_unix
        for opening in (*listen_sockets.listeners, *listen_sockets.side)
        if opening.listener == name and (name, opening.address.port) not in given and _is_at(opening.address, wanted)
    }


def resolve(config: Config) -> Hosts:
    """Ask for every host that the configuration listens on, however long that takes. StartError for the first that stands for
    nothing.
    """
    hosts: dict[str, Places] = {}
    for listener, address in _wanted(config):
        if address.host and address.host not in hosts:
            hosts[address.host] = ask(listener, address)
    return hosts


def reopen(
    config: Config, before: Config, listen_sockets: ListenSockets, hosts: Hosts
) -> tuple[ListenSockets, ReopenedSockets]:
    """What another configuration listens on, beside what is listened on now, which stays as it is. StartError when an address
    cannot be had. Then either accept() or undo() of what comes with it is due. `hosts` are what resolve() said of it: nobody is
    asked here.
    """
    heirloom = InheritedSockets(listen_sockets.sockets, listen_sockets.owned_paths, any_port(before, listen_sockets))
    new = _open(config, heirloom, lambda listener, address: hosts[address.host])
    return new, ReopenedSockets(listen_sockets, new, heirloom)


class ReopenedSockets:
    """The difference between two sets of openings, while it is not decided which of them holds."""

    def __init__(self, before: ListenSockets, after: ListenSockets, heirloom: InheritedSockets) -> None:
        self._before = before
        self._after = after
        self._heirloom = heirloom

    def accept(self) -> None:
        """The new one holds: close what nobody listens on any more."""
        for sock in self._heirloom.rest:
            sock.close()
        paths = {opening.address.path for opening in (*self._after.listeners, *self._after.side)}
        for opening in (*self._before.listeners, *self._before.side):
            if opening.address.path not in paths:
                opening.unlink()

    def let_go(self, listen_sockets: ListenSockets) -> None:
        """In a child: close what only the other one has. `openings` are those that hold, and not the child's business here."""
        for sock in {*self._before.sockets, *self._after.sockets} - {*listen_sockets.sockets}:
            sock.close()

    def undo(self) -> None:
        """The old one holds: close what is new."""
        undo((*self._after.listeners, *self._after.side), self._heirloom)


def _is_at(bound: Address, wanted: Address) -> bool:
    """Whether an address on a port that the kernel chose can be what became of a configured one."""
    if bound.is_unix:
        return False
    return bound.host == wanted.host or (wanted.host == "0.0.0.0" and not bound.host) or not (wanted.is_ip or not wanted.host)


def _wanted(config: Config) -> Iterator[tuple[str, Address]]:
    """The addresses that are to be listened on, each with the name of its listener."""
    for listener in config.listeners:
        for address in listener.addresses:
            yield listener.name, address
    if config.admin.enabled:
        yield "admin", config.admin.address
    if config.metrics.enabled and config.metrics.address is not None:
        yield "metrics", config.metrics.address


def _open(config: Config, heirloom: InheritedSockets, ask: Ask) -> ListenSockets:
    done: list[ListenAddress] = []

    def opened(listener: str, address: Address, slots: int) -> tuple[ListenAddress, ...]:
        new = listen(listener, address, slots, heirloom, ask)
        done.extend(new)
        return new

    try:
        return ListenSockets(
            listeners=tuple(
                opening
                for listener in config.listeners
                for address in listener.addresses
                for opening in opened(listener.name, address, config.workers)
            ),
            admin=opened("admin", config.admin.address, 1) if config.admin.enabled else (),
            metrics=opened("metrics", config.metrics.address, 1) if config.metrics.enabled and config.metrics.address else (),
        )
    except StartError:
        undo(done, heirloom)
        raise
