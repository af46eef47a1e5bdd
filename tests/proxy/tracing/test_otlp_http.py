"""One export over HTTP: connections are kept while they last, and no answer does harm."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from balance.errors import ProtocolError
from balance.proxy.tracing.otlp_http import HttpReceiver
from balance.proxy.tracing.receiver import Answer
from balance.tracing.endpoint import parse_endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def exports(
    script: Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], times: int = 1
) -> tuple[list[Answer | Exception], int]:
    """So many exports to a server that plays a script for each connection: what came of each, and how many connections."""

    async def main() -> tuple[list[Answer | Exception], int]:
        count = 0

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            try:
                await script(count, reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(play, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        receiver = HttpReceiver(parse_endpoint(f"http://127.0.0.1:{port}"), [])
        found: list[Answer | Exception] = []
        for _ in range(times):
            try:
                found.append(await asyncio.wait_for(receiver.send(b"body"), 5))
            except (OSError, EOFError, ProtocolError) as error:
                found.append(error)
                receiver.close()
        receiver.close()
        server.close()
        return found, count

    return asyncio.run(main())


async def request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(4)


def test_a_connection_is_kept() -> None:
    async def script(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await request(reader)
            writer.write(OK)

    found, connections = exports(script, 3)
    assert found == [Answer(True, False)] * 3 and connections == 1


def test_one_that_was_closed_meanwhile_is_opened_again() -> None:
    async def script(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)
        if number == 1:
            await reader.readuntil(b"\r\n\r\n")  # the next one comes, and meets the close

    found, connections = exports(script, 2)
    assert found == [Answer(True, False)] * 2 and connections == 2


@pytest.mark.parametrize(
    ("reply", "is_taken"),
    [
        (OK, True),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 200_000, True),  # nobody reads that on
        (b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 503 X\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_what_is_understood(reply: bytes, is_taken: bool) -> None:
    async def script(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for at in range(min(len(reply), 100)):
            writer.write(reply[at : at + 1])
            await writer.drain()
        writer.write(reply[100:])

    ((found,), _) = exports(script)
    assert isinstance(found, Answer) and found.is_taken is is_taken
    assert is_taken or (found.is_retryable and found.wait_s == (7.0 if b"7\r\n" in reply else 0.0))


@pytest.mark.parametrize(
    "reply",
    [b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000, b"\x00" * 100,
     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
)  # fmt: skip
def test_what_is_not(reply: bytes) -> None:
    async def script(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(reply)

    ((found,), connections) = exports(script)
    assert isinstance(found, OSError | EOFError | ProtocolError) and connections == 1
