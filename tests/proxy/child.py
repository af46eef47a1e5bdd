"""A worker's traffic in a process of its own, so that its memory can be measured: `child.py tcp|http PORT`."""

from __future__ import annotations

import asyncio
import random
import socket
import sys

import uvloop

from balance.config.model import BackendConfig, Config, ListenerConfig, LoggingConfig, PoolConfig
from balance.model import Address, Mode
from balance.proxy.listener_server import ListenerServer
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots, build


async def main(mode: Mode, port: int) -> None:
    """Serve the one backend at `port` until the standard input ends; the first line of the output is our own port."""
    loop = asyncio.get_running_loop()
    config = Config(
        listeners=(ListenerConfig("main", (), mode, "pool"),),
        pools=(PoolConfig("pool", (BackendConfig("n1", Address("127.0.0.1", port)),)),),
    )
    slots = backend_slots(config)
    row = Row(memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q"))
    listener_server = ListenerServer(loop, build(config, slots, row, random.random), row, LoggingConfig())
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    await listener_server.open([("main", sock)])
    sys.stdout.write(f"{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    await listener_server.drain(0.0)


if __name__ == "__main__":
    uvloop.run(main(Mode(sys.argv[1]), int(sys.argv[2])))
