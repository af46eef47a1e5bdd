"""Binds one configured address: one SO_REUSEPORT socket per worker, Unix sockets, IPv6, and clear errors.

The kernel spreads connections over the workers' sockets; what is queued in the socket of a worker that died waits for the next
worker of that slot. Inherited sockets are used instead of binding. Every failure is one StartError line that says what to do.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from balance.errors import StartError
from balance.model import Address
from balance.process.sockets.inherited_sockets import InheritedSockets, bound_address, is_dual_stack

# Linux 5.4 and later cut it to net.core.somaxconn, 4096 by default: as much as the kernel gives without being asked.
BACKLOG = 4096
UNIX_UMASK = 0o117  # rw-rw----: owner and group; a front-end in another group is let in by the directory's owner

# Elsewhere SO_REUSEPORT exists but does not spread connections, so the workers share one socket.
SPREADS = sys.platform == "linux"

ResolvedAddresses = tuple[tuple[int, str], ...]  # what a host resolves to: (family, address) each
Resolver = Callable[[str, Address], ResolvedAddresses]


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One bound address. `sockets` holds one per worker, or the same one for all."""

    listener: str
    address: Address  # as bound: the port is never 0
    sockets: tuple[socket.socket, ...]
    owns_path: bool = True  # False where systemd created the file of a Unix socket

    def close(self) -> None:
        """Close this process's copies. The file of a Unix socket stays: see unlink()."""
        for sock in self.sockets:
            sock.close()

    def keep_only(self, worker_number: int) -> None:
        """Close the other workers' copies."""
        for sock in self.sockets:
            if sock is not self.sockets[worker_number]:
                sock.close()

    def unlink(self) -> None:
        """Supervisor only, at the end: remove the file of a Unix socket."""
        if self.address.is_unix and self.owns_path:
            try:
                os.unlink(self.address.path)
            except OSError:
                return  # already removed


NO_INHERITED = InheritedSockets()


def resolve_host(listener: str, address: Address) -> ResolvedAddresses:
    """Resolve the host of a configured address (getaddrinfo). May block, so the supervisor never calls it while serving."""
    with _as_start_error(listener, address):
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return tuple(dict.fromkeys((int(entry[0]), str(entry[4][0])) for entry in found))


def listen(
    listener: str,
    address: Address,
    workers: int,
    inherited: InheritedSockets = NO_INHERITED,
    resolve_host: Resolver = resolve_host,
) -> tuple[ListenAddress, ...]:
    """Listen on one configured address for so many workers. A host name may resolve to several: `resolve_host` returns them."""
    if not address.port and not address.is_unix:
        address = inherited.ephemeral_ports.get((listener, address), address)
    with _as_start_error(listener, address):
        if address.is_unix:
            if found := inherited.claim(socket.AF_UNIX, address.path):
                return _from_inherited(listener, found, workers, owns_path=found[0].getsockname() in inherited.owned_paths)
            return (ListenAddress(listener, address, (_unix_socket(address.path),) * workers),)
        if not address.host:
            return _open_wildcard(listener, address.port, workers, inherited)
        return _open_resolved(resolve_host(listener, address), listener, address.port, workers, inherited)


def close_new(listen_sockets: Iterable[ListenAddress], inherited: InheritedSockets) -> None:
    """After a failure: close and remove what was bound here. Inherited sockets are left alone, their owner may go on."""
    for listen_address in listen_sockets:
        for sock in listen_address.sockets:
            if sock not in inherited.sockets:
                sock.close()
        if listen_address.sockets[0] not in inherited.sockets:
            listen_address.unlink()


def _open_wildcard(listener: str, port: int, workers: int, inherited: InheritedSockets) -> tuple[ListenAddress, ...]:
    """`:8080`: one dual-stack socket, or IPv4 alone without IPv6 in the kernel. Inherited sockets may be one per family."""
    adopted: tuple[ListenAddress, ...] = ()
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        adopted += _from_inherited(listener, inherited.claim(family, host, port), workers)
    if adopted:
        return adopted
    try:
        return (_tcp(listener, socket.AF_INET6, "::", port, workers, is_dual_stack=True),)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENOPROTOOPT):
            raise
        return (_tcp(listener, socket.AF_INET, "0.0.0.0", port, workers),)


def _open_resolved(
    places: ResolvedAddresses, listener: str, port: int, workers: int, inherited: InheritedSockets
) -> tuple[ListenAddress, ...]:
    listen_sockets: list[ListenAddress] = []
    try:
        for family, host in places:
            if adopted := _from_inherited(listener, inherited.claim(family, host, port), workers):
                listen_sockets.extend(adopted)
                continue
            try:
                listen_sockets.append(_tcp(listener, family, host, port, workers))
            except OSError as error:
                # `localhost` is often ::1 as well, on machines and in containers that have no IPv6.
                if len(places) == 1 or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                continue
            port = listen_sockets[0].address.port
    except OSError:
        close_new(listen_sockets, inherited)
        raise
    if not listen_sockets:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return tuple(listen_sockets)


def _from_inherited(
    listener: str, found: list[socket.socket], workers: int, owns_path: bool = True
) -> tuple[ListenAddress, ...]:
    """Inherited sockets of one address, distributed over the workers. Too few: more join the SO_REUSEPORT group, or workers
    share. Too many: a worker has several, since connections may be queued in each.
    """
    if 0 < len(found) < workers:
        found = found + _join_reuseport_group(found[0], workers - len(found))
    rows = [found[start : start + workers] for start in range(0, len(found), workers)]
    return tuple(
        ListenAddress(
            listener, bound_address(row[0]), tuple(row[worker_number % len(row)] for worker_number in range(workers)), owns_path
        )
        for row in rows
    )


def _join_reuseport_group(member: socket.socket, count: int) -> list[socket.socket]:
    """`count` more sockets in the SO_REUSEPORT group of `member`; none if it has no group or another user owns it (systemd's
    root).

    They are bound but do not listen yet: the kernel gives a socket its share from listen(2) on, and it may be that no worker
    ever accepts from these, when a reload or an upgrade fails.
    """
    if not SPREADS or member.family == socket.AF_UNIX or not member.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        return []
    host, port = member.getsockname()[:2]
    joined: list[socket.socket] = []
    try:
        joined.extend(
            _bound(member.family, host, port, is_dual_stack(member), is_joining=True, is_listening=False) for _ in range(count)
        )
    except OSError:
        for sock in joined:
            sock.close()
        return []
    return joined


def _tcp(listener: str, family: int, host: str, port: int, workers: int, is_dual_stack: bool = False) -> ListenAddress:
    """Bind one TCP address. The first socket is bound without SO_REUSEPORT, to detect a port in use: with it, a second Balance
    would silently get half of the connections.
    """
    first = _bound(family, host, port, is_dual_stack)
    sockets = [first]
    port = first.getsockname()[1]
    try:
        if workers > 1 and SPREADS:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # it listens already; the others may join its group now
            sockets.extend(_bound(family, host, port, is_dual_stack, is_joining=True) for _ in range(workers - 1))
        else:
            sockets *= workers
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return ListenAddress(listener, Address("" if is_dual_stack or host == "0.0.0.0" else host, port), tuple(sockets))


def _bound(
    family: int, host: str, port: int, is_dual_stack: bool, is_joining: bool = False, is_listening: bool = True
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            # `[::]:8080` written out is IPv6 alone, as in nginx and Envoy, so that 0.0.0.0:8080 may stand beside it.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not is_dual_stack)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may linger in TIME_WAIT
        if is_joining:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        if is_listening:
            sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _unix_socket(path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(UNIX_UMASK)  # not chmod after bind: in between anybody could connect
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(umask)
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on; never any other file."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EEXIST, "a file that is not a socket is in the way; remove it or choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)  # a full backlog also means that somebody listens
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@contextmanager
def _as_start_error(listener: str, address: Address) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(f"listener {listener}: cannot listen on {address}: {_explain(error, address)}") from None
    except ValueError as error:  # a name that the IDNA codec refuses
        raise StartError(f"listener {listener}: cannot listen on {address}: {error}") from None


def _explain(error: OSError, address: Address) -> str:
    """The reason, and what to do about it."""
    if isinstance(error, socket.gaierror):
        return f"the name {address.host!r} does not resolve; write an address of this machine"
    match error.errno:
        case errno.EADDRINUSE:
            hint = "" if address.is_unix else f" (`ss -ltnp 'sport = :{address.port}'` shows which)"
            return f"it is in use by another process{hint}; stop that process or choose another address"
        case errno.EACCES | errno.EPERM if not address.is_unix and address.port < 1024:
            return "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address; write one of its own, or :port for all of them"
        case errno.ENOENT if address.is_unix:
            return f"the directory {os.path.dirname(address.path)} does not exist"
        case _:
            return error.strerror or str(error)
