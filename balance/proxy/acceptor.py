"""One listening socket of a worker: accepts connections while there is room, for the listener that it leads to now.

A reload may make it lead to another listener. libuv's own server closes connections for which it has no descriptor. This one
accepts nothing that can't be served: while descriptors or `max_clients` are used up, connections wait in the kernel's backlog,
as with nginx and HAProxy; with SO_REUSEPORT that is this worker's own backlog. What must be known before the first byte (PROXY
header, ClientHello) is a step between accept() and the transport: see `preread`. Connections go to the
worker's TransportPoll, with TLS as without.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import weakref
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from balance.holder import Holder
from balance.model import Mode
from balance.proxy.clients import Clients
from balance.proxy.connection_guard import ConnectionGuard
from balance.proxy.http.client import HttpClient
from balance.proxy.http2.protocol_choice import ProtocolChoice
from balance.proxy.listener_access import ListenerAccess
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net import system_calls
from balance.proxy.net.sockets import keep_alive, other_address, reset_accepted
from balance.proxy.net.timer_wheel import TimerWheel
from balance.proxy.net.transport_poll import TransportPoll
from balance.proxy.preread import Caller, Step
from balance.proxy.proxy_header import ProxyHeaderStep
from balance.proxy.tcp.session import Downstream
from balance.proxy.tls.handshake import Handshake
from balance.proxy.tls.hello_step import HelloStep, SniStep
from balance.proxy.tls.tls_transport import TlsTransport
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.snapshot import Listener
from balance.tls.contexts import ListenerTls

log: Final = logging.getLogger("balance.worker")

_AF_UNIX: Final = int(socket.AF_UNIX)
BACKLOG: Final = 4096
MAX_BURST: Final = 8  # connections accepted in one turn of the loop; other connections are served between two turns
CALM: Final = 16  # turns that accept one connection only, after the backlog was found empty
SAY_EVERY_S: Final = 60.0  # between two warnings of a kind: while room is short, it comes and goes many times a second

# accept(2): errors of the next connection, which is gone. All others are for want of resources in this process or on this
# machine (EMFILE, ENFILE, ENOBUFS, ENOMEM), or will come again.
_ITS_OWN: Final = (
    "ECONNABORTED",
    "ECONNRESET",
    "EPERM",
    "EPROTO",
    "ENETDOWN",
    "ENOPROTOOPT",
    "EHOSTDOWN",
    "ENONET",
    "EHOSTUNREACH",
    "EOPNOTSUPP",
    "ENETUNREACH",
    "ETIMEDOUT",
)
_GONE: Final = frozenset(getattr(errno, name, 0) for name in _ITS_OWN)


def _are_judged_anew(before: ListenerTls | None, now: ListenerTls | None) -> bool:
    """Whether certificates of clients count by other authorities or revocation lists than when old connections were made."""
    if before is None or now is None or before.policy is now.policy:
        return False
    return before.settings.verifies_clients or now.settings.verifies_clients


class Acceptor:
    """See the module. Its connections have its ListenerSettings, and change to newer ones at their next request."""

    __slots__ = (
        "_access",
        "_burst",
        "_calm",
        "_family",
        "_guard",
        "_header_step",
        "_is_closed",
        "_listener",
        "_may_be_http2",
        "_next",
        "_own_steps",
        "_place",
        "_port",
        "_said_at",
        "_settings",
        "_settings_in_use",
        "_steps",
        "_tls",
        "_waits_in",
        "_worker",
        "callers",
        "clients",
        "sock",
    )  # fmt: skip

    def __init__(
        self,
        worker: WorkerContext,
        sock: socket.socket,
        listener: Listener,
        clients: Clients,
        steps: Sequence[Step] = (),
        tls: ListenerTls | None = None,
    ) -> None:
        """`steps` are taken in order for each connection, before it has a transport. `tls` None: there is none."""
        name = sock.getsockname()
        self.sock = sock
        self._next = system_calls.accepting(sock)
        self.clients = clients
        self.callers = worker.callers
        self._worker = worker
        self._own_steps = self._steps = tuple(steps)
        self._tls = tls
        self._port = name[1] if isinstance(name, tuple) else 0
        self._is_closed = False
        self._waits_in: list[Any] | None = None  # the list in which it waits for room
        self._burst = 1
        self._calm = 0
        self._said_at: dict[str, float] = {}  # by what was said
        self._family = int(sock.family)
        self._listener = listener
        self._may_be_http2 = False
        self._access = self._access_now()  # None: everybody may connect
        self._guard = self._guard_now()  # None: as often as he likes
        self._header_step: ProxyHeaderStep | None = None  # where connections begin with a PROXY header
        self._use_steps()
        self._place = clients  # where the connection is counted whose transport is being made
        self._settings: Holder[ListenerSettings] | None = None
        # Those that its connections may have, the newest included.
        self._settings_in_use: weakref.WeakSet[Holder[ListenerSettings]] = weakref.WeakSet()
        self.lead_to(listener, clients, tls)

    def open(self) -> None:
        """Listen, and begin to accept."""
        keep_alive(self.sock)
        if self._family != _AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit this, too
        # It takes its descriptor before what is left for connections is counted; without one the first connection asks again.
        with contextlib.suppress(OSError):
            _ = self._worker.plain
        self.sock.listen(BACKLOG)
        self._worker.loop.add_reader(self.sock, self._readable)

    def lead_to(self, listener: Listener, clients: Clients, tls: ListenerTls | None = None) -> None:
        """Serve new connections by this listener. Nothing changes when it is the same as before."""
        are_judged_anew = _are_judged_anew(self._tls, tls)
        self._tls = tls
        if clients is not self.clients:
            self.clients.acceptors.discard(self)
            if self._waits_in is not None:
                self._wait_no_more()
                self._worker.loop.add_reader(self.sock, self._readable)
            self.clients = clients
        clients.acceptors.add(self)
        before = self._settings
        is_same = listener == self._listener and (before is not None or listener.mode is Mode.TCP)
        self._listener = listener
        self._may_be_http2 = listener.http.h2c if tls is None else "h2" in tls.settings.alpn_protocols
        self._use_steps()
        if is_same and not are_judged_anew:
            return
        self._access = self._access_now()
        self._guard = self._guard_now()
        self._settings = None
        if listener.mode is Mode.HTTP:
            made = ListenerSettings(self._worker, listener, self._port)
            made.is_closing = self._worker.is_draining or clients.is_crowded
            made.judge(self._access)
            self._settings = Holder(made)
            self._worker.settings_in_use.add(self._settings)
        for holder in list(self._settings_in_use):
            # All refer to the newest, so that an old connection does not keep every snapshot since.
            settings = holder.held
            is_spoken = self._settings is not None and self._settings.held.scheme == settings.scheme  # else TLS came or went
            is_spoken &= not are_judged_anew
            settings.successor = self._settings if is_spoken else None
            settings.is_closing |= not is_spoken  # TCP mode now: HTTP connections end with their request
        if are_judged_anew:
            self._worker.close_idle_of([holder.held for holder in self._settings_in_use])
        if self._settings is not None:
            self._settings_in_use.add(self._settings)

    def blocks_changed(self) -> None:
        """What is blocked at run time has changed: new connections are judged by it."""
        is_judging = self._access is not None
        self._access = self._access_now()
        if self._access is not None or is_judging:
            for holder in self._settings_in_use:
                holder.held.judge(self._access)

    def _access_now(self) -> ListenerAccess | None:
        worker, listener = self._worker, self._listener
        return ListenerAccess(worker, listener) if listener.access_lists or worker.blocks.blocks else None

    def _use_steps(self) -> None:
        worker, listener = self._worker, self._listener
        then_s = listener.sni_timeout_s if listener.sni is not None else 0.0
        if self._tls is not None:
            then_s = self._tls.settings.handshake_timeout_s
        self._header_step = ProxyHeaderStep(worker, listener, then_s) if listener.proxy_protocol.accept else None
        self._steps = self._own_steps if self._header_step is None else (self._header_step, *self._own_steps)

    def _guard_now(self) -> ConnectionGuard | None:
        worker, listener = self._worker, self._listener
        return ConnectionGuard(worker, listener, worker.client_counts) if listener.protection.enabled else None

    def crowd(self, is_crowded: bool) -> None:
        """While other clients wait for room, each reply closes its client's connection."""
        if self._settings is not None:
            self._settings.held.is_closing = is_crowded or self._is_closed or self._worker.is_draining

    def close(self) -> None:
        """Accept what is in the backlog, if there is room, then stop. Connections end after their request or session.

        Those at a step go on: a client that has connected is about to say hello.
        """
        if self._is_closed:
            return
        while self._accept(MAX_BURST) == MAX_BURST:
            pass
        self._is_closed = True
        self._wait_no_more()
        self.clients.acceptors.discard(self)
        self._worker.loop.remove_reader(self.sock)
        self.sock.close()
        for holder in self._settings_in_use:
            holder.held.is_closing = True

    # --- the queue ------------------------------------------------------------------------------------

    def _readable(self) -> None:
        """Accept a burst: the backlog is not empty. The burst doubles while the backlog fills it."""
        burst = self._burst
        taken = self._accept(burst)
        if taken == burst:
            if self._calm:
                self._calm -= 1  # while one comes at a time, each costs one accept()
            elif burst < MAX_BURST:
                self._burst = 2 * burst
        elif taken >= 0:
            self._burst = 1
            self._calm = CALM

    def resume(self) -> None:
        """There may be room: accept again if it waits for some."""
        if self._waits_in is not None and self._accept(1) >= 0:
            self._wait_no_more()
            self._worker.loop.add_reader(self.sock, self._readable)

    def _accept(self, burst: int) -> int:
        """Accept up to `burst` connections. Returns how many there were; -1 when it waits for room now."""
        clients, taken = self.clients, 0
        accept = self._next
        descriptors = self._worker.descriptors
        while taken < burst:
            if not clients.may_enter():
                if taken:
                    return burst  # the next turn tells whether there is another one
                self._wait("")
                return -1
            try:
                fd, address = accept()
            except BlockingIOError:
                clients.withdraw()
                return taken
            except OSError as error:
                clients.withdraw()
                if error.errno not in _GONE:
                    self._wait(error.strerror or str(error))
                    return -1
                taken += 1
                continue
            taken += 1
            if fd > descriptors.ceiling:
                descriptors.measure()
            if self._access is not None and self._header_step is None and not self._access.admits_peer(address):
                reset_accepted(fd)
                clients.withdraw()
                continue
            self._place = clients
            if self._guard is not None and not self._steps:  # handshakes count, too
                place = self._guard.enter(address, clients)
                if place is None:
                    reset_accepted(fd)
                    clients.withdraw()
                    continue
                self._place = place
            if self._tls is not None:
                self._greet(fd, address, HelloStep(self._worker, self))
            elif self._listener.sni is not None:
                self._greet(fd, address, SniStep(self._worker, self._listener))
            elif self._steps:
                Caller(self, fd, address, self._steps).begin()
            else:
                self._begin(fd, address)
        return taken

    def _greet(self, fd: int, address: Any, hello: HelloStep | SniStep) -> None:
        """Begin with a client whose ClientHello counts."""
        if self._steps:
            Caller(self, fd, address, (*self._steps, hello)).begin()
        else:
            caller = Caller(self, fd, address, (hello,), self._place)
            caller.on_timeout = hello.timed_out
            caller.begin(with_bytes=True)

    @property
    def tls(self) -> ListenerTls | None:
        """What handshakes begin with now."""
        return self._tls

    @property
    def preread_s(self) -> float:
        """The time limit for all steps, in seconds."""
        if self._header_step is not None:
            return self._listener.proxy_protocol.timeout_s  # for the header; a TLS handshake has its own from there on
        if self._tls is not None:
            return self._tls.settings.handshake_timeout_s
        return self._listener.timeouts.client_header_s if self._listener.sni is None else self._listener.sni_timeout_s

    @property
    def poll(self) -> TransportPoll:
        return self._worker.plain

    @property
    def wheel(self) -> TimerWheel:
        return self._worker.wheel

    def refused(self, caller: Caller) -> None:
        """A step has refused a connection: free its place."""
        (caller.place or self.clients).leave()

    def adopt(self, caller: Caller, fd: int) -> None:
        """Make the transport of a connection that has passed all steps, with the address that they found out."""
        address = caller.address
        self._place = caller.place or self.clients
        if self._access is not None and self._header_step is not None and not self._access.admits_peer(address):
            reset_accepted(fd)
            self.clients.leave()
            return
        if self._guard is not None and caller.place is None:
            place = self._guard.enter(address, self.clients)
            if place is None:
                reset_accepted(fd)
                self.clients.leave()
                return
            self._place = place
        if caller.secured is not None:
            self._secure(caller, fd)
        elif self._tls is not None:  # it came while another step waited: nothing is served in plain text
            reset_accepted(fd)
            self._place.leave()
        elif caller.listener is not None:
            self._begin(fd, address, caller.listener, caller.seen)
        else:
            self._begin(fd, address, None, caller.seen)

    def _secure(self, caller: Caller, fd: int) -> None:
        """Begin a TLS handshake. The protocol's connection_made() is called at its end."""
        address, poll = caller.address, self._worker.plain
        handshake = Handshake(self._worker, self._place, caller.secured, other_address(address))
        transport = TlsTransport(poll, handshake, self._client(address), caller.ends_at)
        try:
            poll.accepted(self._family, fd, transport, caller.seen)
        except OSError as error:  # no descriptor or memory to watch it with
            reset_accepted(fd)
            handshake.ended(error)
            self.unwatched(error)
        except BaseException as error:
            os.close(fd)
            handshake.ended(error)
            raise

    def _begin(self, fd: int, address: Any, listener: Listener | None = None, seen: int = 0) -> None:
        """Begin a connection without TLS. `listener` is there where SNI leads to another pool than the acceptor's own; `seen`
        are the events of a socket that was waited for.
        """
        client = self._client(address, listener)
        try:
            self._worker.plain.accepted(self._family, fd, client, seen)
        except OSError as error:  # no descriptor or memory to watch it with
            reset_accepted(fd)
            self._place.leave()
            self.unwatched(error)
        except BaseException:
            os.close(fd)
            self._place.leave()
            raise

    def _client(self, address: Any, listener: Listener | None = None) -> HttpClient | ProtocolChoice | Downstream:
        if self._settings is not None and listener is None:
            if self._may_be_http2:
                return ProtocolChoice(self._settings, self._place, address)
            return HttpClient(self._settings, self._place, address)
        return Downstream(self._worker, listener or self._listener, self._place, address)

    def unwatched(self, error: OSError) -> None:
        """Say that there is no descriptor or memory to watch a connection with."""
        now, problem = monotonic(), error.strerror or str(error)
        if now >= self._said_at.get(problem, 0.0) + SAY_EVERY_S:
            self._said_at[problem] = now
            log.warning("a connection is reset, as it can't be watched: %s", problem)

    # --- room -----------------------------------------------------------------------------------------

    def _wait(self, problem: str) -> None:
        """Stop accepting until there is room. `problem` is the error of accept(), empty when it was not called."""
        worker, clients = self._worker, self.clients
        descriptors = worker.descriptors
        is_short = bool(problem) or descriptors.clients >= descriptors.most
        waits_in: list[Any] = descriptors.waiting if is_short else clients.waiting
        if self._waits_in is None:
            worker.loop.remove_reader(self.sock)
            worker.row.cells[counters.PAUSES_SHORT if is_short else counters.PAUSES_FULL] += 1
            worker.row.cells[counters.PAUSED] += 1
            waits_in.append(self)
        elif self._waits_in is not waits_in:
            self._waits_in.remove(self)
            waits_in.append(self)
        self._waits_in = waits_in
        if problem:
            descriptors.make_room()
        is_reclaimed = clients.close_oldest()
        clients.crowd()
        now = monotonic()
        kind = f"{problem}{is_short}{is_reclaimed}"
        if (is_short or not is_reclaimed) and now >= self._said_at.get(kind, 0.0) + SAY_EVERY_S:
            self._said_at[kind] = now
            self._say(problem, is_short, is_reclaimed)

    def _say(self, problem: str, is_short: bool, is_reclaimed: bool) -> None:
        descriptors = self._worker.descriptors
        what = "idle clients are closed for those who call" if is_reclaimed else "callers wait in the backlog"
        if problem:
            log.warning("listener %s: cannot accept: %s; %s", self.clients.name, problem.lower(), what)
        elif is_short:
            log.warning(
                "listener %s: %d client connections are all that %d file descriptors allow (`ulimit -n`); %s",
                self.clients.name,
                descriptors.clients,
                descriptors.limit,
                what,
            )
        else:
            log.warning(
                "listener %s: max_clients (%d) are connected; callers wait in the backlog",
                self.clients.name,
                self._listener.max_clients,
            )

    def _wait_no_more(self) -> None:
        if self._waits_in is not None:
            self._waits_in.remove(self)
            self._waits_in = None
            self._worker.row.cells[counters.PAUSED] -= 1
            self.clients.crowd(False)
