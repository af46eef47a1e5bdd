"""All the listening sockets of one run: made before the first fork, kept by the supervisor, each child keeps its own."""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from balance.config.model import Config
from balance.errors import StartError
from balance.model import Address
from balance.process.inheritance import Inheritance
from balance.process.listening import Opening, listen, undo


@dataclass(frozen=True, slots=True)
class Openings:
    """All that is listened on: the listeners by worker slot, and the side doors for control."""

    listeners: tuple[Opening, ...]
    admin: tuple[Opening, ...]
    metrics: tuple[Opening, ...]

    @property
    def side(self) -> tuple[Opening, ...]:
        return self.admin + self.metrics

    def of_worker(self, slot: int) -> list[tuple[str, socket.socket]]:
        """What the worker in that slot accepts from: (listener, socket)."""
        return [(opening.listener, opening.sockets[slot]) for opening in self.listeners]

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

    def close(self) -> None:
        """In the supervisor, when all is over."""
        for opening in self.listeners + self.side:
            opening.close()
            opening.unlink()


def open_all(config: Config, inherited: Sequence[socket.socket] = (), owned_paths: Collection[str] = ()) -> Openings:
    """Listen on every address of the configuration, or on none: StartError for the first that cannot be had.

    `inherited` sockets are taken where their address is configured, and closed where none is; after a StartError all of
    them are as they were. Unix sockets among them keep their file at the end, unless it is one of `owned_paths`.
    """
    heirloom = Inheritance(inherited, owned_paths)
    done: list[Opening] = []

    def opened(listener: str, address: Address, slots: int) -> tuple[Opening, ...]:
        new = listen(listener, address, slots, heirloom)
        done.extend(new)
        return new

    try:
        openings = Openings(
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
    heirloom.close_rest()
    return openings
