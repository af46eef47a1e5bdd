"""A steady load in which every request has a number, so that each failure can be traced to a request and a connection.

    with Load() as load:
        load.begin(port)
        ...                 # whatever is done to the instance
        report = load.end()

The clients are well behaved: they check whether a kept connection was closed before they reuse it, and honour Connection:
close. They never retry. The backends are the load's own, unless it is given a recorder.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from recording_backends import Recorder, content
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

PATIENCE_S = 15.0
BEAT_S = 0.1  # of a WebSocket
NAMES = ("b1", "b2", "b3")


@dataclass(frozen=True)
class Failure:
    """One failure that a client saw."""

    kind: str
    what: str  # the method and id, or what else it was
    port: int  # the client's own, 0 when there was no connection
    at: float  # on the monotonic clock


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request, as its client saw it."""

    method: str
    name: str
    began: float  # on the monotonic clock
    took_s: float
    status: int  # 0 without a whole reply
    has_begun: bool  # a reply's head came
    detail: str  # the body of an unexpected response, or the error

    @property
    def ended(self) -> float:
        return self.began + self.took_s


class Recording(Protocol):
    """What a load needs from the backends."""

    @property
    def seen(self) -> collections.Counter[tuple[str, str]]: ...

    async def open(self, name: str) -> str:
        """Returns the address of the backend of that name."""

    def close(self) -> None: ...


@dataclass
class LoadReport:
    """The totals."""

    requests: int = 0
    failures: list[Failure] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)  # that reached backends more than once
    unseen: list[str] = field(default_factory=list)  # answered, and no backend knows of them
    websockets: int = 0  # ever opened
    messages: int = 0  # echoed
    downloads: int = 0  # that came whole
    reconnections: int = 0  # kept connections that had been closed when they were looked at

    def kinds(self) -> dict[str, int]:
        return dict(collections.Counter(failure.kind for failure in self.failures))

    def beyond(self, held: Collection[int]) -> list[Failure]:
        """Failures on none of these client ports."""
        return [failure for failure in self.failures if failure.port not in held]

    def table(self) -> str:
        rows = [
            ("requests", self.requests),
            ("requests that reached a backend twice", len(self.twice)),
            ("answers that no backend knows of", len(self.unseen)),
            ("WebSockets", self.websockets),
            ("messages echoed", self.messages),
            ("downloads that came whole", self.downloads),
            ("kept connections that had been closed", self.reconnections),
            *((f"failed: {kind}", count) for kind, count in sorted(self.kinds().items())),
        ]
        return "\n".join(f"{name:<42}{count:>10,}" for name, count in rows)


class Load:
    """Backends and clients on an event loop in a thread."""

    def __init__(
        self,
        *,
        keeping: int = 8,
        fresh: int = 4,
        websockets: int = 50,
        pause_s: float = 0.02,
        download_bytes: int = 5_000_000,
        download_bytes_per_s: int = 200_000,
        recorder: Recording | None = None,
    ) -> None:
        """`keeping` clients keep their connection, `fresh` clients make a new one for each request."""
        self.recorder = recorder or Recorder()
        self.report = LoadReport()
        self.records: list[RequestRecord] = []  # in the order in which they ended
        self.addresses: dict[str, str] = {}
        self._keeping, self._fresh, self._websockets = keeping, fresh, websockets
        self._pause_s = pause_s
        self._download = download_bytes, download_bytes_per_s
        self._numbers = itertools.count(1)
        self._answered: set[tuple[str, str]] = set()
        self._port = 0
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []
        self._open: set[int] = set()  # ports of WebSockets that echo now
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        for name in NAMES:
            self.addresses[name] = self._call(self.recorder.open(name)).result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):
            self._call(self._stop()).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)

    def add_backend(self, name: str) -> str:
        """One more, at an address of its own."""
        return self._call(self.recorder.open(name)).result(PATIENCE_S)

    def begin(self, port: int) -> None:
        """Start all clients; returns when every WebSocket echoes and requests are answered."""
        self._port = port
        self._call(self._begin()).result(PATIENCE_S)
        self.until(lambda: len(self._open) == self._websockets and self.report.requests > 20)

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"it never came\n{self.report.table()}"
            time.sleep(0.01)

    def flow(self, requests: int = 50) -> None:
        """Wait for so many more responses."""
        wanted = self.report.requests + requests
        self.until(lambda: self.report.requests >= wanted)

    @property
    def open_websockets(self) -> set[int]:
        """The ports of the clients whose WebSockets echo."""
        return set(self._open)

    def end(self) -> LoadReport:
        """Stop the clients; returns the report."""
        self._call(self._stop()).result(5 * PATIENCE_S)
        seen = self.recorder.seen
        self.report.twice = [f"{method} {number}" for (method, number), count in seen.items() if count > 1]
        self.report.unseen = [f"{method} {number}" for method, number in self._answered if not seen[method, number]]
        return self.report

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _begin(self) -> None:
        self._tasks = [
            *(asyncio.create_task(self._keep_alive()) for _ in range(self._keeping)),
            *(asyncio.create_task(self._reconnect_each()) for _ in range(self._fresh)),
            *(asyncio.create_task(self._run_websocket(index)) for index in range(self._websockets)),
            *([asyncio.create_task(self._fetch())] if self._download[0] else []),
        ]

    async def _stop(self) -> None:
        self._is_over = True
        if self._tasks:
            done, late = await asyncio.wait(self._tasks, timeout=3 * PATIENCE_S)
            for task in late:
                task.cancel()
                self._failed("never ended", task.get_name(), 0)
            for task in done:
                if not task.cancelled() and (error := task.exception()):
                    self._failed(f"the client crashed: {error!r}", task.get_name(), 0)
            self._tasks = []
        self.recorder.close()

    def _failed(self, kind: str, what: str, port: int) -> None:
        self.report.failures.append(Failure(kind, what, port, time.monotonic()))

    # --- requests ------------------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        client: Client | None = None
        while not self._is_over:
            if client is not None and client.has_been_closed():
                self.report.reconnections += 1
                client.close()
                client = None
            if client is None:
                client = await self._connected()
            if client is not None and not await self._request(client):
                client.close()
                client = None
            await asyncio.sleep(self._pause_s)
        if client is not None:
            client.close()

    async def _reconnect_each(self) -> None:
        while not self._is_over:
            client = await self._connected()
            if client is not None:
                await self._request(client)
                client.close()
            await asyncio.sleep(self._pause_s)

    async def _connected(self) -> Client | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await Client.connected(self._port)
        except OSError as error:  # TimeoutError too
            self._failed(f"no connection: {type(error).__name__}", "", 0)
            await asyncio.sleep(0.05)
            return None

    async def _request(self, client: Client) -> bool:
        """One request. False when the connection is of no more use."""
        number = next(self._numbers)
        method, name = ("POST" if number % 2 else "GET"), f"{number}{'w' if number % 5 == 0 else ''}"
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, body, is_kept = await client.ask(method, f"/r/{name}", b"x" * 100 if method == "POST" else b"")
        except OSError as error:
            said = f"{type(error).__name__} {error}".strip()
            self.records.append(RequestRecord(method, name, began, time.monotonic() - began, 0, client.has_begun, said))
            self._failed(said, f"{method} {name}", client.port)
            return False
        said = "" if status == 200 and body == name.encode() else body[:300].decode("latin-1")
        self.records.append(RequestRecord(method, name, began, time.monotonic() - began, status, True, said))
        if status != 200:
            self._failed(f"status {status}", f"{method} {name} {body[:200]!r}", client.port)
        elif body != name.encode():
            self._failed("another's answer", f"{method} {name}", client.port)
        else:
            self._answered.add((method, name))
        self.report.requests += 1
        return is_kept

    async def _fetch(self) -> None:
        """Downloads, one after the other, read slowly."""
        size, bytes_per_s = self._download
        while not self._is_over:
            client = await self._connected()
            if client is None:
                continue
            got = 0
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await client.begin("GET", f"/download/{size}")
                    await client.head()
                began = time.monotonic()
                while got < size:
                    async with asyncio.timeout(PATIENCE_S):
                        piece = await client.reader.read(8192)
                    if piece != content(got, len(piece)) or not piece:
                        self._failed("a download is not as it was" if piece else "a download is cut", str(got), client.port)
                        break
                    got += len(piece)
                    if not self._is_over:  # else let it come as fast as it can
                        await asyncio.sleep(max(0.0, began + got / bytes_per_s - time.monotonic()))
                else:
                    self.report.downloads += 1
            except OSError as error:
                self._failed(f"a download is cut: {type(error).__name__}", str(got), client.port)
            client.close()

    # --- WebSockets ----------------------------------------------------------------------------------------

    async def _run_websocket(self, index: int) -> None:
        await asyncio.sleep(index * BEAT_S / max(self._websockets, 1))
        while not self._is_over:
            try:
                async with connect(
                    f"ws://127.0.0.1:{self._port}/ws", compression=None, ping_interval=None, open_timeout=PATIENCE_S, proxy=None
                ) as websocket:
                    await self._echo(websocket)
            except (OSError, InvalidHandshake, InvalidMessage) as error:
                self._failed(f"no WebSocket: {type(error).__name__} {error}", str(index), 0)
                await asyncio.sleep(0.05)

    async def _echo(self, websocket: ClientConnection) -> None:
        port = websocket.local_address[1]
        self.report.websockets += 1
        count = 0
        try:
            while not self._is_over:
                said = f"{port} {count}"
                await websocket.send(said)
                async with asyncio.timeout(PATIENCE_S):
                    if await websocket.recv() != said:
                        self._failed("a WebSocket says something else", said, port)
                self.report.messages += 1
                self._open.add(port)
                count += 1
                await asyncio.sleep(BEAT_S)
        except (ConnectionClosed, TimeoutError) as error:
            self._failed(f"a WebSocket is dropped: {type(error).__name__}", f"{port} after {count}: {error}", port)
        finally:
            self._open.discard(port)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.has_begun = False  # the reply to what was last asked
        self._writer = writer
        sock: socket.socket = writer.get_extra_info("socket")
        self.port: int = sock.getsockname()[1]
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    @classmethod
    async def connected(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024))

    def has_been_closed(self) -> bool:
        """Asks the kernel: the loop may not have heard of it yet."""
        return self._writer.is_closing() or self.reader.at_eof() or bool(self._poll.poll(0))

    async def begin(self, method: str, path: str, body: bytes = b"") -> None:
        self.has_begun = False
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: load\r\n".encode() + length + b"\r\n" + body)
        await self._writer.drain()

    async def head(self) -> bytes:
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            words = "in the middle of a head" if error.partial else "instead of an answer"
            raise ConnectionAbortedError(f"closed {words}") from None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, bool]:
        """(status, body, whether the connection may be used again)."""
        await self.begin(method, path, body)
        head = (await self.head()).decode("latin-1").lower()
        self.has_begun = True
        size = int(head.partition("\r\ncontent-length: ")[2].partition("\r\n")[0] or 0)
        try:
            answer = await self.reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise ConnectionAbortedError("closed in the middle of a body") from None
        return int(head.split(" ", 2)[1]), answer, "\r\nconnection: close" not in head

    def close(self) -> None:
        self._writer.close()
