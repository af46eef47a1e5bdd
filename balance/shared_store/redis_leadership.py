"""A pool's autoscalers in Redis: asks who leads, tells this balancer's load, writes the state, by scripts of `leadership`.

Every call is one script on one connection, so that nothing is half done. A failure is a StoreError; who gets one leads not.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any, Final

from balance.autoscaling.leadership import (
    FORGET_INTERVALS,
    LEASE_INTERVALS,
    MIN_LEASE_S,
    SYNC,
    WRITE,
    State,
    Turn,
    load_text,
    turn_of,
)
from balance.autoscaling.load_meter import Load
from balance.config.model import RedisConfig
from balance.shared_store.failures import Failure, StoreError
from balance.shared_store.redis_connection import Command, ErrorReply, RedisConnection, open_connection

REPLY_S: Final = 2.0  # at least: nobody's request waits
_SHA: Final = {script: sha1(script.encode()).hexdigest() for script in (SYNC, WRITE)}  # what EVALSHA takes


class RedisLeadership:
    """Used by one task."""

    def __init__(self, config: RedisConfig, pool: str, own_id: str) -> None:
        self._config = config
        self._own_id = own_id
        # One hash tag: the keys of a pool are in one slot of a cluster's.
        base = f"{config.prefix}autoscaler:{{{pool}}}:"
        self._leader, self._fence, self._state, self._loads = (base + name for name in ("leader", "fence", "state", "loads"))
        self._connection: RedisConnection | None = None

    async def sync(self, load: Load | None, interval_s: float) -> Turn:
        """Renew the lead, or take it when nobody has it; tell this balancer's load, hear everybody's. StoreError."""
        lease_ms = round(max(MIN_LEASE_S, LEASE_INTERVALS * interval_s) * 1000)
        forget_ms = round(FORGET_INTERVALS * interval_s * 1000)
        keys = (self._leader, self._fence, self._state, self._loads)
        reply = await self._script(SYNC, keys, self._own_id, str(lease_ms), load_text(load), str(forget_ms))
        try:
            return turn_of(reply, interval_s)
        except (ValueError, OverflowError):
            raise StoreError(Failure.PROTOCOL, "an answer of another type") from None

    async def write(self, token: int, state: State) -> bool:
        """Write the state, unless the lead with this token has passed on. StoreError."""
        written = await self._script(WRITE, (self._leader, self._state), self._own_id, str(token), state.text())
        return bool(written == 1)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _script(self, script: str, keys: tuple[str, ...], *arguments: str) -> Any:
        timeout_s = max(REPLY_S, self._config.timeout_s)
        if self._connection is None:
            self._connection = await open_connection(self._config.url, timeout_s)
        connection = self._connection
        try:
            rest: Command = (len(keys), *keys, *arguments)
            reply = (await connection.run([("EVALSHA", _SHA[script], *rest)]))[0]
            if isinstance(reply, ErrorReply) and str(reply).startswith("NOSCRIPT"):
                reply = (await connection.run([("EVAL", script, *rest)]))[0]
        except StoreError:
            self.close()
            raise
        if isinstance(reply, ErrorReply):
            raise StoreError(reply.kind, str(reply))
        return reply
