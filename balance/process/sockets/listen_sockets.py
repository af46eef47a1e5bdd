"""All listening sockets of one configuration. The supervisor binds and keeps them; each child inherits its own.

A reload reuses the sockets of every address that stays, whatever its listener is called. Connections queued in a socket are not
lost when the number of workers changes.
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
from balance.process.sockets.listen_address import ListenAddress, ResolvedAddresses, Resolver, close_new, listen, resolve_host

ResolvedHosts = Mapping[str, ResolvedAddresses]  # what each stands for that a configuration listens on


@dataclass(frozen=True, slots=True)
class ListenSockets:
    """The listeners' sockets, one per worker, and the admin and metrics sockets for control."""

    listeners: tuple[ListenAddress, ...]
    admin: tuple[ListenAddress, ...]
    metrics: tuple[ListenAddress, ...]

    @property
    def admin_and_metrics(self) -> tuple[ListenAddress, ...]:
        return self.admin + self.metrics

    def for_child(self, worker_number: int | None) -> list[tuple[str, socket.socket]]:
        """(listener, socket) that the worker, or control for None, accepts from."""
        if worker_number is None:
            return [(listen_address.listener, listen_address.sockets[0]) for listen_address in self.admin_and_metrics]
        return self.for_worker(worker_number)

    def for_worker(self, worker_number: int) -> list[tuple[str, socket.socket]]:
        """(listener, socket) that the worker accepts from."""
        return [(listen_address.listener, listen_address.sockets[worker_number]) for listen_address in self.listeners]

    @property
    def sockets(self) -> list[socket.socket]:
        """Every socket once, those of an address in worker order."""
        return list(
            dict.fromkeys(sock for listen_address in self.listeners + self.admin_and_metrics for sock in listen_address.sockets)
        )

    @property
    def owned_paths(self) -> list[str]:
        """The Unix sockets whose file this instance removes at the end."""
        return [
            each.address.path for each in self.listeners + self.admin_and_metrics if each.address.is_unix and each.owns_path
        ]

    def addresses(self, listener: str) -> set[str]:
        """The bound addresses of one listener."""
        return {
            str(listen_address.address)
            for listen_address in self.listeners + self.admin_and_metrics
            if listen_address.listener == listener
        }

    def is_same_as(self, other: ListenSockets, workers: int) -> bool:
        """Whether every process accepts from the same sockets, for the same listeners."""
        return all(
            set(self.for_child(worker_number)) == set(other.for_child(worker_number))
            for worker_number in (*range(workers), None)
        )

    def keep_for_worker(self, worker_number: int) -> None:
        """In a worker, after the fork: close everything else."""
        for listen_address in self.listeners:
            listen_address.keep_only(worker_number)
        for listen_address in self.admin_and_metrics:
            listen_address.close()

    def close_listeners(self) -> None:
        """In control, and in the supervisor when workers drain: its copies would keep the backlogs open, with clients nobody
        accepts.
        """
        for listen_address in self.listeners:
            listen_address.close()

    def close_copies(self) -> None:
        """In a process that accepts from none, while others go on listening."""
        for listen_address in self.listeners + self.admin_and_metrics:
            listen_address.close()

    def close_except_paths(self, paths: Collection[str]) -> None:
        """In a supervisor that has failed to take over: keep the files of these Unix sockets."""
        self.close_copies()
        for listen_address in self.listeners + self.admin_and_metrics:
            if listen_address.address.path not in paths:
                listen_address.unlink()

    def close(self) -> None:
        """In the supervisor, at the end."""
        self.close_copies()
        for listen_address in self.listeners + self.admin_and_metrics:
            listen_address.unlink()


def rebound(config: Config, served: Config, before: ListenSockets, after: ListenSockets) -> tuple[str, ...]:
    """A line for each listener whose host name resolves to other addresses now."""
    stayed = set(_configured_addresses(config)) & set(_configured_addresses(served))
    named = [
        name
        for name, address in _configured_addresses(config)
        if (name, address) in stayed and address.host and not address.is_ip
    ]
    lines = []
    for name in dict.fromkeys(named):
        was, now = before.addresses(name), after.addresses(name)
        if was != now:
            what = name if name in ("admin", "metrics") else f"listener {name}"
            lines.append(f"~ {what}: bound to {', '.join(sorted(was))} -> {', '.join(sorted(now))}")
    return tuple(lines)


def inode(sock: socket.socket) -> int:
    """A socket's identity across processes, which have different descriptors for it."""
    return os.fstat(sock.fileno()).st_ino


def open_all(
    config: Config,
    inherited: Sequence[socket.socket] = (),
    owned_paths: Collection[str] = (),
    chosen: Mapping[tuple[str, Address], Address] | None = None,
) -> ListenSockets:
    """Listen on every configured address, or on none: StartError for the first that fails.

    `inherited` sockets are used where their address is configured and closed where not; after a StartError they are untouched.
    Unix sockets among them keep their file at the end, except `owned_paths`. `chosen` is the ephemeral_ports() of the replaced
    instance.
    """
    available = InheritedSockets(inherited, owned_paths, chosen)
    listen_sockets = _open(config, available, resolve_host)
    available.close_unclaimed()
    return listen_sockets


def ephemeral_ports(config: Config, listen_sockets: ListenSockets) -> dict[tuple[str, Address], Address]:
    """The ports that the kernel chose for port 0: (listener, configured address) -> the same address with the port."""
    given = {(name, configured.port) for name, configured in _configured_addresses(config)}
    return {
        (name, configured): Address(configured.host, listen_address.address.port)
        for name, configured in _configured_addresses(config)
        if not configured.port and not configured.is_unix
        for listen_address in (*listen_sockets.listeners, *listen_sockets.admin_and_metrics)
        if listen_address.listener == name
        and (name, listen_address.address.port) not in given
        and _is_at(listen_address.address, configured)
    }


def resolve_hosts(config: Config) -> ResolvedHosts:
    """Resolve every host that the configuration listens on. Blocks. StartError for the first that does not resolve."""
    hosts: dict[str, ResolvedAddresses] = {}
    for listener, address in _configured_addresses(config):
        if address.host and address.host not in hosts:
            hosts[address.host] = resolve_host(listener, address)
    return hosts


def open_changed(
    config: Config, before: Config, listen_sockets: ListenSockets, hosts: ResolvedHosts
) -> tuple[ListenSockets, ListenSocketsChange]:
    """Open the sockets of another configuration beside the present ones. StartError when an address is not available.

    Then commit() or abort() of the returned change is due. `hosts` come from resolve_hosts(): nothing is resolved here.
    """
    inherited = InheritedSockets(listen_sockets.sockets, listen_sockets.owned_paths, ephemeral_ports(before, listen_sockets))
    new = _open(config, inherited, lambda listener, address: hosts[address.host])
    return new, ListenSocketsChange(listen_sockets, new, inherited)


class ListenSocketsChange:
    """The difference between two sets of sockets, until one of them is chosen."""

    def __init__(self, before: ListenSockets, after: ListenSockets, inherited: InheritedSockets) -> None:
        self._before = before
        self._after = after
        self._inherited = inherited

    def commit(self) -> None:
        """The new set holds: close the sockets that it does not use."""
        for sock in self._inherited.unclaimed:
            sock.close()
        paths = {listen_address.address.path for listen_address in (*self._after.listeners, *self._after.admin_and_metrics)}
        for listen_address in (*self._before.listeners, *self._before.admin_and_metrics):
            if listen_address.address.path not in paths:
                listen_address.unlink()

    def close_unused_in_child(self, listen_sockets: ListenSockets) -> None:
        """In a child: close the sockets that are not in `listen_sockets`, the set that holds now."""
        for sock in {*self._before.sockets, *self._after.sockets} - {*listen_sockets.sockets}:
            sock.close()

    def abort(self) -> None:
        """The old set holds: close the new sockets."""
        close_new((*self._after.listeners, *self._after.admin_and_metrics), self._inherited)


def _is_at(bound: Address, configured: Address) -> bool:
    """Whether a bound address on an ephemeral port can belong to a configured one."""
    if bound.is_unix:
        return False
    return (
        bound.host == configured.host
        or (configured.host == "0.0.0.0" and not bound.host)
        or not (configured.is_ip or not configured.host)
    )


def _configured_addresses(config: Config) -> Iterator[tuple[str, Address]]:
    """The addresses that are to be listened on, each with the name of its listener."""
    for listener in config.listeners:
        for address in listener.addresses:
            yield listener.name, address
    if config.admin.enabled:
        yield "admin", config.admin.address
    if config.metrics.enabled and config.metrics.address is not None:
        yield "metrics", config.metrics.address


def _open(config: Config, inherited: InheritedSockets, resolve_host: Resolver) -> ListenSockets:
    done: list[ListenAddress] = []

    def opened(listener: str, address: Address, workers: int) -> tuple[ListenAddress, ...]:
        new = listen(listener, address, workers, inherited, resolve_host)
        done.extend(new)
        return new

    try:
        return ListenSockets(
            listeners=tuple(
                listen_address
                for listener in config.listeners
                for address in listener.addresses
                for listen_address in opened(listener.name, address, config.workers)
            ),
            admin=opened("admin", config.admin.address, 1) if config.admin.enabled else (),
            metrics=opened("metrics", config.metrics.address, 1) if config.metrics.enabled and config.metrics.address else (),
        )
    except StartError:
        close_new(done, inherited)
        raise
