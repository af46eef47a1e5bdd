"""Balance in this process, between a backend that writes down what it gets and clients that read strictly what they get.

Everything but the processes is real: a snapshot, the listener's protocol, pooled connections, sockets of the loopback. A client
is known at the backend by the address it comes from, which Balance tells in X-Real-IP.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

sys.path.insert(0, str(Path(__file__).parents[1] / "http1"))

import strict
from request_cases import Passed

from balance.config.model import BackendConfig, Config, HttpConfig, Keepalive, ListenerConfig, LoggingConfig, PoolConfig
from balance.http1.framing import Framing
from balance.model import Address, Mode
from balance.proxy.listener_server import ListenerServer
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots, build

PATIENCE_S = 45.0  # what nobody waits for when all is well, on a busy machine either


class Reply(NamedTuple):
    status: int
    fields: dict[bytes, bytes]
    body: bytes
    is_whole: bool


def client_address(number: int) -> str:
    """An address of the loopback for one client."""
    return f"127.{10 + number // 60_000}.{number // 240 % 250}.{1 + number % 240}"


class Backend(asyncio.Protocol):
    """One connection of the recording backend. `answers` says what to send to a whole request; then it may close."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.received = b""
        self.client = ""
        self.gone = asyncio.get_running_loop().create_future()  # done when the connection has ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.site.backends.add(self)
        self.site.arrived.put_nowait(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        while read := strict.read_message(self.received):
            head, body, size = read
            self.received = self.received[size:]
            self.client = dict(head.fields)[b"x-real-ip"].decode()
            framing = Framing.CHUNKED if head.is_chunked else Framing.LENGTH if head.length else Framing.NONE
            self.site.passed[self.client].append(Passed(head.method, head.target, body, framing))
            self.site.answer(self, head.method)
        head_end = self.received.find(b"\r\n\r\n")
        if head_end >= 0 and strict.read_head(self.received) is None:
            self.site.malformed.append(self.received)

    def connection_lost(self, exc: Exception | None) -> None:
        self.site.backends.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)


def answer_ok(backend: Backend, method: bytes) -> None:
    backend.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == b"HEAD" else b"ok"))


class Site:
    """A listener, its backend, and what went on: `passed` by the client's address, `malformed` if anything ever is."""

    def __init__(self, answer: Callable[[Backend, bytes], None] = answer_ok) -> None:
        self.answer = answer
        self.passed: defaultdict[str, list[Passed]] = defaultdict(list)
        self.malformed: list[bytes] = []
        self.backends: set[Backend] = set()
        self.arrived: asyncio.Queue[Backend] = asyncio.Queue()
        self.port = 0

    async def next_backend(self) -> Backend:
        """The backend's end of the next connection that Balance makes to it."""
        return await self.arrived.get()

    async def open(self, http: HttpConfig | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._origin = await loop.create_server(lambda: Backend(self), "127.0.0.1", 0)
        port = self._origin.sockets[0].getsockname()[1]
        config = Config(
            listeners=(ListenerConfig("web", (Address("", 0),), Mode.HTTP, "pool", http=http or HttpConfig()),),
            pools=(PoolConfig("pool", (BackendConfig("origin", Address("127.0.0.1", port)),)),),
        )
        slots = backend_slots(config)
        row = Row(memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q"))
        listening = socket.create_server(("0.0.0.0", 0))
        self.port = listening.getsockname()[1]
        self.listener_server = ListenerServer(loop, build(config, slots, row, random.Random(1).random), row, LoggingConfig())
        await self.listener_server.open([("web", listening)])

    async def close(self) -> None:
        await self.listener_server.drain(0.0)
        self._origin.close()
        for backend in list(self.backends):
            backend.transport.abort()


NO_REUSE = HttpConfig(keepalive=Keepalive(max_idle_per_backend=0))


class Client:
    """Sends bytes, and reads replies as strictly as it can."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self._reader = reader
        self._writer = writer
        self._was_reset = False
        self.address = address

    @classmethod
    async def connect(cls, site: Site, number: int) -> Client:
        address = client_address(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, local_addr=(address, 0), limit=1 << 20)
        return cls(reader, writer, address)

    async def send(self, data: bytes, *, byte_by_byte: bool = False) -> None:
        """All at once, or each byte in a turn of the loop of its own, so that it is read alone."""
        if not byte_by_byte:
            self._writer.write(data)
            return
        for at in range(len(data)):
            if self._reader.at_eof() or self._writer.transport.is_closing():
                return
            self._writer.write(data[at : at + 1])
            await asyncio.sleep(0)

    async def reply(self, method: bytes) -> Reply | None:
        """The next final reply, or None at the end of the connection. ValueError when it is not HTTP."""
        while True:
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise ValueError(f"no reply's head: {error.partial!r}") from None
                return None
            except ConnectionResetError:
                return None
            line, *lines = head[:-4].split(b"\r\n")
            version, status, _ = line.split(b" ", 2)
            if version != b"HTTP/1.1":
                raise ValueError(f"no reply: {line!r}")
            if int(status) >= 200:
                break
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in lines)}
        if method == b"HEAD" or int(status) in (204, 304):
            return Reply(int(status), fields, b"", True)
        body, is_whole = await self._body(fields)
        return Reply(int(status), fields, body, is_whole)

    async def _body(self, fields: dict[bytes, bytes]) -> tuple[bytes, bool]:
        """A reply's content, and whether all of it came. A reset is an end that leaves nothing whole."""
        received = b""
        if b"transfer-encoding" in fields:
            assert fields[b"transfer-encoding"] == b"chunked"
            assert b"content-length" not in fields
            while (chunks := strict.read_chunks(received)) is None:
                data = await self._read()
                if not data:
                    return received, False
                received += data
            return chunks[0], True
        length = int(fields.get(b"content-length", b"-1"))
        while len(received) != length:
            data = await self._read(length - len(received) if length >= 0 else 65536)
            if not data:
                return received, length < 0 and not self._was_reset
            received += data
        return received, True

    async def _read(self, at_most: int = 65536) -> bytes:
        try:
            return await self._reader.read(at_most)
        except ConnectionResetError:
            self._was_reset = True
            return b""

    async def is_ended(self) -> bool:
        """Wait for the connection's end; False when something comes before it."""
        return not await self._read()

    def end(self) -> None:
        """Nothing more will be sent."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.transport.abort()
