"""Rate limits of several machines, for one worker: tells Redis in batches what it has admitted, and learns what others have.

No request waits for it. A batch goes out as soon as something was admitted, and again SYNC_S later at the earliest, so what the
machines admit beyond a limit is what comes to each of them within that time. While Redis can't be used the limits are each
machine's own, or, with on_failure deny, nobody is admitted; what was admitted meanwhile is told afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from balance.background_tasks import spawn
from balance.config.model import RedisConfig
from balance.rate_limiting.exchange_script import SCRIPT, SCRIPT_SHA, hear, report
from balance.rate_limiting.moved_keys import Moved, MovedKeys
from balance.runtime import counters
from balance.shared_store.failures import Failure, StoreError, StoreState
from balance.shared_store.redis_connection import Command, ErrorReply, RedisConnection, open_connection

log = logging.getLogger("balance.redis")

SYNC_S: Final = 0.05
BACKLOG_S: Final = 0.01  # between batches while more wait than one takes
MAX_BATCH: Final = 200  # keys: Redis does nothing else meanwhile, nor do we
PING_S: Final = 1.0  # without traffic: a store that has died is known before somebody is admitted who should not be
REPLY_S: Final = 0.25  # at least, for a reply: nobody waits for it
AGAIN_S: Final = 0.1  # after a failure; growing to AGAIN_MAX_S
AGAIN_MAX_S: Final = 1.0


class Batch(NamedTuple):
    """One call of the script."""

    number: bytes
    moved: list[Moved]


class RedisRateLimits:
    """See the module."""

    def __init__(self, config: RedisConfig, row: memoryview, rows: Sequence[memoryview], moved: MovedKeys) -> None:
        """`row` is this worker's on the board, `rows` everybody's."""
        self._config = config
        self._row = row
        self._rows = rows
        self._moved = moved
        self._loop = asyncio.get_running_loop()
        self._prefix = config.prefix.encode() + b"ratelimit:"
        self._own_key = self._prefix + b"batch:" + os.urandom(8).hex().encode()
        self._number = 0
        self._unanswered: Batch | None = None  # Redis may have counted it, or not
        self._work = asyncio.Event()
        self._failed_at = 0.0
        self._lost = moved.lost
        moved.wake = self._work.set
        moved.is_open = True
        row[counters.LIMITS_STATE] = StoreState.CONNECTING
        row[counters.LIMITS_FAILURE] = Failure.NONE
        self._task = spawn(self._run(), "Redis rate limits")

    def stop(self) -> None:
        """Close. What waits is known on this machine alone."""
        self._task.cancel()
        moved = self._moved
        moved.is_open = moved.is_refusing = False
        moved.take(len(moved))
        self._row[counters.LIMITS_STATE] = StoreState.UNUSED
        self._row[counters.LIMITS_FAILURE] = Failure.NONE

    async def _run(self) -> None:
        again_s = AGAIN_S
        while True:
            connection: RedisConnection | None = None
            try:
                connection = await open_connection(self._config.url, max(REPLY_S, self._config.timeout_s))
                await self._exchange(connection)
                self._is_back()
                again_s = AGAIN_S
                await self._serve(connection)
            except StoreError as error:
                self._has_failed(error)
            finally:
                if connection is not None:
                    connection.close()
            await asyncio.sleep(again_s * random.uniform(0.75, 1.25))
            again_s = min(again_s * 2, AGAIN_MAX_S)

    async def _serve(self, connection: RedisConnection) -> None:
        """Until a failure."""
        while True:
            sent_at = self._loop.time()
            await self._exchange(connection)
            wait_s = BACKLOG_S if len(self._moved) > MAX_BATCH else SYNC_S
            await asyncio.sleep(max(0.001, sent_at + wait_s - self._loop.time()))
            if not len(self._moved):
                self._work.clear()
                timer = self._loop.call_later(PING_S, self._work.set)
                try:
                    await self._work.wait()
                finally:
                    timer.cancel()

    async def _exchange(self, connection: RedisConnection) -> None:
        """One batch; an empty one shows that Redis lives, and takes writes. StoreError when that fails."""
        batch = self._unanswered
        if batch is None:
            self._number += 1
            batch = Batch(b"%d" % self._number, self._moved.take(MAX_BATCH))
        self._unanswered = batch
        reports = [report(limiter, key, count) for limiter, key, count in batch.moved]
        keys = [self._own_key, *[self._prefix + limiter.name(key) for limiter, key, _ in batch.moved]]
        arguments: Command = (len(keys), *keys, batch.number, *[text for _, text in reports])
        reply = (await connection.run([("EVALSHA", SCRIPT_SHA, *arguments)]))[0]
        if isinstance(reply, ErrorReply) and str(reply).startswith("NOSCRIPT"):  # it is new there, or was started again
            reply = (await connection.run([("EVAL", SCRIPT, *arguments)]))[0]
        if isinstance(reply, ErrorReply):
            if reply.kind is Failure.REFUSED:
                self._unanswered = None  # it may be the batch that it does not like
            raise StoreError(reply.kind, str(reply))
        told = reply.split(b" ") if isinstance(reply, bytes) else []
        if len(told) != len(keys):
            raise StoreError(Failure.PROTOCOL, "an answer of another type")
        self._unanswered = None
        try:
            now_us = int(told[0])
            for (limiter, _, _), (usage, _), text in zip(batch.moved, reports, told[1:], strict=True):
                hear(limiter, usage, text, now_us)
        except (ValueError, OverflowError):
            raise StoreError(Failure.PROTOCOL, "an answer of another type") from None
        row, moved = self._row, self._moved
        row[counters.LIMITS_BATCHES] += 1
        row[counters.LIMITS_KEYS] += len(batch.moved)
        row[counters.LIMITS_UNSHARED] += moved.lost - self._lost
        self._lost = moved.lost

    # --- its state ------------------------------------------------------------------------------------

    def _is_back(self) -> None:
        was = self._row[counters.LIMITS_STATE]
        self._set(StoreState.UP, Failure.NONE)
        if was == StoreState.DOWN and not self._anybody_is_down():
            log.warning("Rate limits are shared again, after %.1f s without Redis", self._loop.time() - self._failed_at)

    def _has_failed(self, error: StoreError) -> None:
        self._row[counters.LIMITS_ERRORS] += 1
        was = self._row[counters.LIMITS_STATE]
        said_before = was == StoreState.DOWN or self._anybody_is_down()
        self._set(StoreState.DOWN, error.kind)
        if was != StoreState.DOWN:
            self._failed_at = self._loop.time()
        if not said_before:
            consequence = "who has a limit of all machines is answered 503" if self._denies else "they are this machine's own"
            log.warning("Rate limits can't be shared, as Redis can't be used: %s; %s", error, consequence)

    @property
    def _denies(self) -> bool:
        return self._config.on_failure == "deny"

    def _set(self, state: StoreState, failure: Failure) -> None:
        self._row[counters.LIMITS_STATE] = state
        self._row[counters.LIMITS_FAILURE] = failure
        self._moved.is_refusing = self._denies and state is StoreState.DOWN

    def _anybody_is_down(self) -> bool:
        """Whether a worker is: the first to change, or the last, speaks for all of them."""
        return any(row[counters.LIMITS_STATE] == StoreState.DOWN for row in self._rows)
