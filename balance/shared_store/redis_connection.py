"""One connection to Redis: a batch of commands out, their replies back, and closed for good by whatever goes wrong.

A connection that was given up with replies outstanding is never used again: a later command would be answered with what an
earlier one asked for, perhaps another user's (redis-py issue 2665). So there is no pool; commands that are asked for together
travel together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from balance.shared_store.failures import Failure, StoreError, kind_of_reply
from balance.shared_store.resp_parser import RespParser

CONNECT_S: Final = 1.0  # at least, to connect: nobody waits for it
LATE_S: Final = 0.01  # a timer that fires so late says that this process was held up, not Redis

Command = tuple[bytes | str | int, ...]


class ErrorReply(Exception):
    """One command's error; the others of its batch have their replies."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.kind = kind_of_reply(text)


class RedisConnection:
    """Made by open_connection(). Every failure is a StoreError, and closes it."""

    __slots__ = ("_connection", "_timeout_s")

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The reply of each command, or an ErrorReply in its place, within the timeout."""
        replies: list[Any] = await within(self._timeout_s, self._run(commands), self)
        return replies

    async def send(self, *command: bytes | str | int) -> None:
        """Send a command whose replies are taken by receive()."""
        try:
            await self._connection.send_command(*command, check_health=False)
        except Exception as error:
            self.close()
            raise _store_error(error, Failure.LOST) from None

    async def receive(self, timeout_s: float) -> Any:
        """The next message of a subscription; None when none came in time."""
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=timeout_s)
        except Exception as error:
            self.close()
            raise _store_error(error, Failure.LOST) from None

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        parser: Any = connection._parser
        replies: list[Any] = []
        try:
            _expect_nothing(parser)
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    replies.append(await connection.read_response(disable_decoding=True))
                except exceptions.ResponseError as error:
                    replies.append(ErrorReply(_words(error)))
            _expect_nothing(parser)
        except Exception as error:
            self.close()
            raise _store_error(error, Failure.LOST) from None
        return replies

    def close(self) -> None:
        """Close it at once, whatever is outstanding."""
        connection: Any = self._connection
        writer = connection._writer
        if writer is not None:
            connection._reader = connection._writer = None
            writer.transport.abort()  # its own disconnect() would first write what Redis does not take


async def open_connection(url: str, timeout_s: float) -> RedisConnection:
    """Connect and authenticate. StoreError when that fails."""
    settings: dict[str, Any] = dict(parse_url(url))
    settings["parser_class"] = RespParser  # of any interface: redis-py only calls it
    kind: type[AbstractConnection] = settings.pop("connection_class", Connection)
    connection = kind(
        **settings,
        protocol=2,  # RESP3 adds nothing for us, and a HELLO that old servers refuse
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
    )
    opened = RedisConnection(connection, timeout_s)
    await within(max(CONNECT_S, timeout_s), _connect(connection), opened)
    return opened


async def _connect(connection: Any) -> None:  # redis-py has no type for connect()
    try:
        await connection.connect()
    except Exception as error:
        raise _store_error(error, Failure.CONNECT) from None


async def within(timeout_s: float, work: Any, connection: RedisConnection) -> Any:
    """What `work` returns. StoreError, and the connection is closed, when it takes longer."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    task = loop.create_task(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done() and loop.time() > deadline + LATE_S:
            await asyncio.wait({task}, timeout=LATE_S)  # its reply may be here already, unread
        if task.done():
            return task.result()
        raise StoreError(Failure.TIMEOUT, f"{timeout_s * 1000:g} ms")
    except BaseException:
        connection.close()
        raise
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StoreError):
                await task


def _expect_nothing(parser: RespParser) -> None:
    """A reply to nothing would be taken for what the next command asks for."""
    if parser.has_more:
        raise exceptions.InvalidResponse("a reply to nothing")


def _store_error(error: Exception, kind: Failure) -> StoreError:
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return StoreError(Failure.TIMEOUT)
    if isinstance(error, exceptions.InvalidResponse):
        return StoreError(Failure.PROTOCOL, _words(error))
    if isinstance(error, exceptions.ResponseError):
        words = _words(error)
        return StoreError(kind_of_reply(words), words)
    if isinstance(error, exceptions.AuthenticationError):  # redis-py's own: an answer to AUTH that is no +OK
        return StoreError(Failure.AUTH, _words(error))
    if isinstance(error, (OSError, exceptions.RedisError)):
        return StoreError(kind, _words(error))
    # redis-py met what it does not expect. It must not end the task that serves everybody.
    return StoreError(Failure.PROTOCOL, type(error).__name__)


def _words(error: Exception) -> str:
    """One line of printable text: what a peer says is written to the log."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(error)[:200])
