"""A worker's traffic on a loop of its own, between backends and clients that do exactly what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from rawclient import Ended, Message, Wire, get

from balance import background_tasks
from balance.access_lists.access_lists import AccessLists
from balance.config.model import (
    AccessLog,
    BackendConfig,
    Config,
    ConnectionProtection,
    HashKey,
    HealthCheck,
    HttpConfig,
    ListenerConfig,
    LoggingConfig,
    PassiveChecks,
    PoolConfig,
    ProxyProtocol,
    Retry,
    SendProxyProtocol,
    Timeouts,
    TracingConfig,
    TrustedProxy,
)
from balance.health.circuit_breaker import CONSECUTIVE_FAILURES, BreakerState
from balance.health.states import State
from balance.model import Address, Mode, Why
from balance.proxy.listener_server import ListenerServer
from balance.retry.decision import NOT_RETRIED, RetryOutcome
from balance.runtime import backend as runtime
from balance.runtime import counters
from balance.runtime.backend_slots import SlotBook, route_key, rule_key
from balance.runtime.health_gate import HealthGate
from balance.runtime.row import Row
from balance.runtime.snapshot import Snapshot, backend_slots, build, prepare
from balance.tls.settings import BackendTls, ServerTls

Script = Callable[[Wire], Awaitable[None]]
Answer = Callable[[Message], bytes]
T = TypeVar("T")

SPARE_SLOTS = 4  # for backends that a reload brings
# For a whole test; what takes longer hangs, and pytest ends it after 60. Where a key is ignored its test is meant to hang.
PATIENCE_S = 12.0 if "BALANCE_TEST_IGNORES" in os.environ else 50.0


async def until(condition: Callable[[], object], what: str = "", patience_s: float = 10.0) -> None:
    """Wait for a condition that no event announces."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never came true: {what or condition}"
        await asyncio.sleep(0.002)


def serve(answer: Answer | bytes) -> Script:
    """A backend that answers every request and keeps its connections."""

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            await wire.send(answer if isinstance(answer, bytes) else answer(request))

    return script


class Backend:
    """Plays its script once for each connection; the connection is closed when the script returns."""

    def __init__(self, name: str, script: Script, sock: socket.socket, address: Address) -> None:
        self.name = name
        self.address = address
        self.wires: list[Wire] = []
        self.failures: list[BaseException] = []
        self._script = script
        self._sock = sock
        sock.setblocking(False)
        self._tasks = {asyncio.get_running_loop().create_task(self._accept())}

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._sock)
            wire = Wire(sock, len(self.wires))
            self.wires.append(wire)
            task = loop.create_task(self._play(wire))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _play(self, wire: Wire) -> None:
        try:
            await self._script(wire)
        except (ConnectionError, Ended):
            pass
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failures.append(error)
        finally:
            wire.close()

    def stop_listening(self) -> None:
        """From now on it refuses."""
        self._sock.close()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sock.close()


class Stage:
    """Backends first, then `open`, then clients. `finish` checks that nothing is left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self.failures: list[str] = []  # what the loop or a task of the proxy reported; a test takes out what it expects
        self.backends: list[Backend] = []
        self.wires: list[Wire] = []
        self.row = Row(memoryview(bytearray(8 * counters.row_cells(1))).cast("Q"))
        self.address = Address("", 0)
        self._held: list[socket.socket] = []
        self._log = _Collector(self.failures)
        logging.getLogger("balance").addHandler(self._log)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(PATIENCE_S):
                return await coroutine

        asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(bounded())

    # --- backends -------------------------------------------------------------------------------------

    def backend(self, script: Script, *, host: str = "127.0.0.1", receive_buffer: int = 0, backlog: int = 1024) -> Backend:
        """A backend on a port of its own; `host` may be a path."""
        name = f"b{len(self.backends) + 1}"
        if host.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(host)
            address = Address("", 0, host)
        else:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.bind((host, 0))
            address = Address(host, sock.getsockname()[1])
        sock.listen(backlog)
        backend = Backend(name, script, sock, address)
        self.backends.append(backend)
        return backend

    def refusing(self) -> Address:
        """An address where nobody listens, and nobody will."""
        sock = socket.socket()
        self._held.append(sock)
        sock.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", sock.getsockname()[1])

    def hanging(self, host: str = "127.0.0.1", port: int = 0) -> Address:
        """An address where a connection is neither taken nor refused: its queue is full."""
        sock = socket.socket()
        self._held.append(sock)
        sock.bind((host, port))
        sock.listen(0)
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(sock.getsockname())
            self._held.append(caller)
        return Address(host, sock.getsockname()[1])

    # --- the proxy ------------------------------------------------------------------------------------

    async def open(
        self,
        *others: Address,
        mode: Mode = Mode.HTTP,
        timeouts: Timeouts | None = None,
        http: HttpConfig | None = None,
        trusted: tuple[TrustedProxy, ...] = (),
        client_address: str = "xff",
        access: AccessLog | None = None,
        access_lists: AccessLists | None = None,
        protection: ConnectionProtection | None = None,
        tls: ServerTls | None = None,
        tls_to: BackendTls | None = None,
        proxy_protocol: ProxyProtocol | None = None,
        sends: str = "none",
        listen: str = "127.0.0.1",
        algorithm: str = "round-robin",
        hash_key: HashKey | None = None,
        send_buffer: int = 0,
        limits: Sequence[int] = (),
        protocol: str = "http1",
        retry: Retry | None = None,
        tracing: TracingConfig | None = None,
        pools: Mapping[str, Sequence[Backend]] | None = None,
        **pool: Any,
    ) -> None:
        """Traffic over `others` first, then every backend made so far. `limits` are the max_connections of the first ones.

        `pools` are others than `pool`, with the backends that they take from it.
        """
        pools = pools or {}
        taken = [backend for backends in pools.values() for backend in backends]
        addresses = [*others, *(backend.address for backend in self.backends if backend not in taken)]
        configs = [
            BackendConfig(f"n{number}", address, max_connections=limit, protocol=protocol)
            for number, (address, limit) in enumerate(zip_longest(addresses, limits, fillvalue=0), start=1)
            if isinstance(address, Address)
        ]
        timeouts = timeouts or Timeouts()
        config = Config(
            listeners=(
                ListenerConfig(
                    "main",
                    (),
                    mode,
                    "pool",
                    timeouts,
                    http or HttpConfig(),
                    access_lists=access_lists or AccessLists(),
                    protection=protection or ConnectionProtection(),
                    tls=tls or ServerTls(),
                    proxy_protocol=proxy_protocol or ProxyProtocol(),
                ),
            ),
            pools=(
                PoolConfig(
                    "pool",
                    tuple(configs),
                    algorithm,
                    hash_key=hash_key or HashKey(),
                    retry=retry or Retry(enabled=False),
                    proxy_protocol=SendProxyProtocol(sends),
                    tls=tls_to or BackendTls(),
                    **{"health_check": HealthCheck(passive=PassiveChecks(enabled=False))} | pool,
                ),
                *(
                    PoolConfig(
                        name,
                        tuple(BackendConfig(backend.name, backend.address) for backend in backends),
                        retry=retry or Retry(enabled=False),
                        health_check=HealthCheck(passive=PassiveChecks(enabled=False)),
                    )
                    for name, backends in pools.items()
                ),
            ),
            trusted_proxies=trusted,
            client_address=client_address,
            logging=LoggingConfig(access_log=access or AccessLog()),
            tracing=tracing or TracingConfig(),
        )
        slots = backend_slots(config)
        self._book = SlotBook(len(slots) + 1 + SPARE_SLOTS)
        self._book.adopt(self._book.assign(config, lambda slot: True))
        self.row = Row(memoryview(bytearray(8 * counters.row_cells(len(slots) + 1 + SPARE_SLOTS))).cast("Q"))
        self.snapshot: Snapshot = build(config, slots, self.row, lambda: 0.0)
        self.listener_server = ListenerServer(self.loop, self.snapshot, self.row, config.logging)
        self.worker = self.listener_server._worker
        self.pool = self.snapshot.pools["pool"]
        if listen.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(listen)
            self.address = Address("", 0, listen)
        else:
            sock = socket.socket(socket.AF_INET6 if ":" in listen else socket.AF_INET)
            if send_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            sock.bind((listen, 0))
            self.address = Address(listen, sock.getsockname()[1])
        sock.setblocking(False)
        self.sockets = [("main", sock)]
        await self.listener_server.open(self.sockets)

    async def reload(self, config: Config, sockets: Sequence[tuple[str, socket.socket]] | None = None) -> None:
        """Change over to another configuration, as a worker does; without `sockets` it listens where it did."""
        assignment = self._book.assign(config, lambda slot: True)
        leaving = self.listener_server.leaving
        made, renewals = prepare(config, assignment.slots, self.row, lambda: 0.0, None, self.snapshot, leaving)
        self._book.adopt(assignment)
        self.sockets = self.sockets if sockets is None else list(sockets)
        await self.listener_server.swap(made, renewals, self.sockets)
        self.snapshot, self.pool = made, made.pools["pool"]

    async def client(self, receive_buffer: int = 0, source: str = "") -> Wire:
        """A new connection to the proxy, from the address `source` if one is given."""
        sock = socket.socket(
            socket.AF_UNIX if self.address.is_unix else socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        )
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        target: Any = self.address.path if self.address.is_unix else (self.address.host, self.address.port)
        await self.loop.sock_connect(sock, target)
        wire = Wire(sock)
        self.wires.append(wire)
        return wire

    def cell(self, number: int) -> int:
        return self.row.cells[number]

    def hits(self, route: str, rule: str = "") -> int:
        """How many requests took this route of the first listener, or were decided by this rule of it."""
        listener = self.snapshot.config.listeners[0].name
        key = rule_key(listener, route, rule) if rule else route_key(listener, route)
        return self.cell(counters.block(self.snapshot.slots[key]) + counters.ROUTE_HITS)

    @property
    def whys(self) -> dict[Why, int]:
        """How requests and connections ended so far."""
        return {why: count for why in Why if (count := self.cell(counters.WHY + why))}

    @property
    def backend_states(self) -> tuple[runtime.Backend, ...]:
        return self.pool.backends

    def of(self, backend: Backend) -> runtime.Backend:
        """The proxy's own view of a backend."""
        return next(known for known in self._all_backends() if known.address == backend.address)

    def half_open(self, backend: Backend) -> HealthGate:
        """Its breaker has opened by one failure, and its next request finds out whether it is well."""
        known, pool = self.of(backend), self.pool
        assert pool.health is not None
        assert known.health is not None
        assert known.health.breaker is not None
        known.health.evidence[CONSECUTIVE_FAILURES] = 1
        known.health.breaker.on_failure(0, 0)
        pool.health.update(known, State.HEALTHY, BreakerState.HALF_OPEN, 0.0)
        pool.rebuild()
        return known.health

    @property
    def active(self) -> int:
        return sum(backend.load.active for backend in self.pool.backends)

    @property
    def buffered(self) -> int:
        """Bytes that the proxy holds for its clients."""
        return sum(connection.transport.get_write_buffer_size() for connection in self.worker.connections)  # type: ignore[attr-defined]

    def count(self, backend: Backend, cell: int) -> int:
        return self.cell(self.of(backend).block + cell)

    @property
    def skipped(self) -> dict[RetryOutcome, int]:
        """Why tries that failed were not made again."""
        return {why: count for why in NOT_RETRIED if (count := self.cell(counters.skipped(why)))}

    # --- the end --------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Wait until no request, no connection of a client and no dial is left."""
        await until(lambda: not self.left(), "")

    def _all_backends(self) -> list[runtime.Backend]:
        return [backend for pool in self.snapshot.pools.values() for backend in pool.backends]

    def left(self) -> str:
        """What of the proxy's work has not ended, in words; empty when all has."""
        found = []
        if self.worker.connections:
            found.append(f"connections {self.worker.connections}")
        if self.worker.descriptors.clients:
            found.append(f"{self.worker.descriptors.clients} clients are counted")
        for backend in self._all_backends():
            if backend.load.active:
                found.append(f"{backend.name} has {backend.load.active} leases")
            if backend.open_count != len(backend.idle):
                found.append(f"{backend.name} has {backend.open_count} connections open and {len(backend.idle)} parked")
        queues = [pool.queue for pool in self.snapshot.pools.values() if pool.queue is not None]
        found += [f"waiting {queue.waiters}" for queue in queues if queue.waiters]
        if self.listener_server.leaving:
            found.append(f"backends that are gone {self.listener_server.leaving}")
        for retrying in self.snapshot.retrying.values():
            if not (retrying.budget.in_flight or retrying.budget.waiting):
                continue
            found.append(f"{retrying.budget.in_flight} retries in flight, {retrying.budget.waiting} waiting")
        timed = [item for bucket in self.worker.wheel._buckets.values() for item in bucket]
        if timed:
            found.append(f"timed {timed}")
        if background_tasks._running:
            found.append(f"tasks {background_tasks._running}")
        return "; ".join(found)

    async def finish(self) -> None:
        """Everybody leaves; then nothing may be left."""
        for wire in self.wires:
            wire.close()
        if (self.address.port or self.address.path) and self.worker.tracer is not None:
            await self.worker.tracer.exporter.close(1.0)
        if self.address.port or self.address.path:
            try:
                await until(lambda: not self.left(), patience_s=3.0)
            except AssertionError:
                self.failures.append(f"left behind: {self.left()}")
            for backend in self._all_backends():
                for parked in list(backend.idle):
                    is_used = getattr(parked, "exchange", None) is not None or bool(getattr(parked, "used", 0))
                    if is_used or parked.transport.is_closing():  # type: ignore[attr-defined]
                        self.failures.append(f"{backend.name} has parked {parked}, which is in use or closed")
            await self.listener_server.drain(0.0)
            with contextlib.suppress(AssertionError):
                open_to = lambda: sum(backend.open_count for backend in self._all_backends())  # noqa: E731
                await until(lambda: not (open_to() or self.worker.descriptors.upstreams), patience_s=1.0)
            for backend in self._all_backends():
                if backend.open_count or backend.idle:
                    self.failures.append(
                        f"{backend.name} counts {backend.open_count} open, {len(backend.idle)} parked at the end"
                    )
            if self.worker.descriptors.upstreams:
                self.failures.append(f"{self.worker.descriptors.upstreams} connections to backends are counted at the end")
        for backend in self.backends:
            await backend.close()
            self.failures += [f"the script of {backend.name} failed: {error!r}" for error in backend.failures]

    def close(self) -> None:
        try:
            self.run(self.finish())
        finally:
            logging.getLogger("balance").removeHandler(self._log)
            for sock in self._held:
                sock.close()
            self.loop.close()
        assert not self.failures, "\n".join(self.failures)


class _Collector(logging.Handler):
    """Turns what the proxy logs as an error into a failure of the test."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        self._failures.append(record.getMessage())


def memory_of(pid: int | str = "self") -> int:
    """Resident bytes of a process."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def is_reset(stage: Stage) -> bool:
    """Whether a new connection is, with nothing sent; it may be while it connects. One that stands is asked for an answer."""
    try:
        client = await stage.client()
        try:
            async with asyncio.timeout(1.0):
                return await client.ending() == "reset"
        except TimeoutError:
            await client.send(get())
            return not await client.exactly(1)
    except (ConnectionResetError, BrokenPipeError):
        return True
