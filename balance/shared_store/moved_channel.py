"""Hears from Redis which sessions other machines have moved, on a connection of its own.

Messages that come while it is not connected are lost, so each time it has subscribed, all that was learned before counts as
unconfirmed (`flushed_at`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic
from typing import Final

from balance.config.model import RedisConfig
from balance.shared_store.failures import Failure, StoreError
from balance.shared_store.redis_connection import RedisConnection, open_connection
from balance.shared_store.session_format import Moved, read_moved

PING_S: Final = 5.0  # a subscription that hears nothing for so long asks whether it still lives
AGAIN_S: Final = 0.2
AGAIN_MAX_S: Final = 2.0


class MovedChannel:
    """One subscription, made anew for as long as run() runs."""

    def __init__(self, config: RedisConfig, channel: bytes, moved: Callable[[Moved], None]) -> None:
        self._config = config
        self._channel = channel
        self._moved = moved
        self.flushed_at = monotonic()

    async def run(self) -> None:
        """Until it is cancelled. Failures are not logged here: the connection for look-ups meets them too."""
        again_s = AGAIN_S
        while True:
            connection: RedisConnection | None = None
            try:
                connection = await open_connection(self._config.url, self._config.timeout_s)
                await connection.send("SUBSCRIBE", self._channel)
                await self._hear(connection)
            except StoreError:
                pass
            finally:
                if connection is not None:
                    connection.close()
            if self.flushed_at > monotonic() - 1.0:
                again_s = AGAIN_S
            await asyncio.sleep(again_s * random.uniform(0.75, 1.25))
            again_s = min(again_s * 2, AGAIN_MAX_S)

    async def _hear(self, connection: RedisConnection) -> None:
        """Take messages until the connection fails."""
        is_asked = True  # the answer to SUBSCRIBE is awaited
        while True:
            message = await connection.receive(PING_S)
            if message is None:
                if is_asked:
                    raise StoreError(Failure.TIMEOUT)
                is_asked = True
                await connection.send("PING")
                continue
            is_asked = False
            if not isinstance(message, list) or not message:
                raise StoreError(Failure.PROTOCOL)
            if message[0] == b"subscribe":
                self.flushed_at = monotonic()
            elif message[0] == b"message" and len(message) == 3 and (moved := read_moved(message[2])) is not None:
                self._moved(moved)
