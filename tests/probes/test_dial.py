"""The connection of a health check: its target, and that it is closed."""

import asyncio

import pytest

from balance.config.model import HealthCheck
from balance.model import Address
from balance.probes.dial import connection, target

BACKEND = Address("10.0.0.1", 8080)
UNIX = Address("", 0, "/run/app.sock")


@pytest.mark.parametrize(
    ("port", "address", "asked"),
    [(0, BACKEND, BACKEND), (8081, BACKEND, Address("10.0.0.1", 8081)), (0, UNIX, UNIX), (8081, UNIX, UNIX)],
)
def test_the_checks_own_port_replaces_the_backends(port: int, address: Address, asked: Address) -> None:
    assert target(HealthCheck(port=port), address) == asked


def test_the_connection_is_gone_at_the_end_of_the_block_even_if_it_ends_badly() -> None:
    async def main() -> bytes:
        seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.set_result(await reader.read())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ZeroDivisionError):
                async with connection(Address("127.0.0.1", port)) as (_, writer):
                    writer.write(b"hello")
                    raise ZeroDivisionError
            return await asyncio.wait_for(seen, 10)

    assert asyncio.run(main()) == b"hello"
