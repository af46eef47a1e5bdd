"""A backend as a process of its own, which can be killed and stopped, and fails as it is told to.

    python backend_program.py NAME PORT RECORDS

Every request that it has read is written to the file RECORDS at once, before anything else is done about it: who is killed
keeps no secrets. Orders come on the standard input, a line each, and are answered by `done`:

    well            answers /r/ID with ID after 5 ms; where ID ends in `w` the reply's other half comes 30 ms later
    slow            takes ten times as long
    reset-accept   resets every connection as soon as there is one
    reset-read      resets it when a request was read
    status N        answers N to everything, at once
    status N but-health    answers N to everything but /health
    deaf            lets the kernel hold one connection that it has not taken yet, and no second
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time

from balance.process.os_calls import set_parent_death_signal

RESPONSE_S = 0.005
PAUSE_S = 0.03
SLOW = 10
BACKLOG = 1024
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
SO_LINGER_RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER that makes a close a reset


class Behaviour:
    """How the machine is at the moment."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.mode = "well"
        self.status = 200
        self.is_health_check_ok = True
        self.factor = 1

    def set(self, order: str) -> None:
        self.mode, *arguments = order.split()
        self.status = int(arguments[0]) if self.mode == "status" else 200
        self.is_health_check_ok = self.mode != "status" or "but-health" in arguments
        self.factor = SLOW if self.mode == "slow" else 1
        self._listening.listen(0 if self.mode == "deaf" else BACKLOG)


class Connection(asyncio.Protocol):
    """Requests one after the other."""

    transport: asyncio.Transport

    def __init__(self, behaviour: Behaviour, log_fd: int) -> None:
        self._behaviour = behaviour
        self._log_fd = log_fd
        self._buffer = b""
        self._is_answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._behaviour.mode == "reset-accept":
            self._reset()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end or self._is_answering:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._is_answering = True
        self._answer(*head.decode("latin-1").split(" ", 2)[:2])

    def _answer(self, method: str, target: str) -> None:
        behaviour, is_health = self._behaviour, target == "/health"
        if not is_health:
            os.write(self._log_fd, f"{time.monotonic():.6f} {method} {target.removeprefix('/r/')}\n".encode())
        if behaviour.mode.startswith("reset"):
            self._reset()
        elif is_health:
            self._reply(200 if behaviour.is_health_check_ok else behaviour.status, b"")
        elif behaviour.mode == "status":
            self._reply(behaviour.status, b"injected error")
        else:
            name = target.removeprefix("/r/").encode()
            asyncio.get_running_loop().call_later(RESPONSE_S * behaviour.factor, self._begin, name, behaviour.factor)

    def _begin(self, name: bytes, factor: int) -> None:
        if name.endswith(b"w"):
            self._write(_head(200, len(name)) + name[:1])
            asyncio.get_running_loop().call_later(PAUSE_S * factor, self._end, name[1:])
        else:
            self._reply(200, name)

    def _reply(self, status: int, body: bytes) -> None:
        self._end(_head(status, len(body)) + body)

    def _end(self, data: bytes) -> None:
        self._write(data)
        self._is_answering = False
        self._go_on()

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def _reset(self) -> None:
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_RESET)
        self.transport.abort()


def _head(status: int, length: int) -> bytes:
    return b"HTTP/1.1 %d As Told\r\nContent-Length: %d\r\n\r\n" % (status, length)


async def serve(port: int, log_fd: int) -> None:
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    behaviour = Behaviour(listening.dup())
    await loop.create_server(lambda: Connection(behaviour, log_fd), sock=listening, backlog=BACKLOG)
    write_line(f"listening {listening.getsockname()[1]}")
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        behaviour.set(line.decode())
        write_line("done")


def write_line(mode: str) -> None:
    sys.stdout.write(f"{mode}\n")
    sys.stdout.flush()


def main() -> None:
    name, port, path, parent = sys.argv[1:]
    set_parent_death_signal(int(parent), signal.SIGKILL)
    del name  # for whoever looks at the processes
    asyncio.run(serve(int(port), os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)))


if __name__ == "__main__":
    main()
