"""Sessions in Redis, for one worker: look-ups that wait no longer than the timeout, writes in the background, and a breaker.

Look-ups and writes of a turn of the loop travel as one batch on one connection, and one batch is under way at a time. The first
failure opens the breaker: everyone who waits is answered, nobody waits any more, and the connection is made anew until
Redis answers. Writes wait meanwhile, each session's last one, up to MAX_WRITES; they are tried again when Redis is back, or at
intervals while only writes are refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from balance.background_tasks import spawn
from balance.config.model import RedisConfig
from balance.runtime import counters
from balance.runtime.sessions.session_store import NO_ANSWER, Answer, Found
from balance.shared_store.failures import Failure, StoreError, StoreState, is_of_writes
from balance.shared_store.moved_channel import MovedChannel
from balance.shared_store.redis_connection import LATE_S, Command, ErrorReply, RedisConnection, open_connection
from balance.shared_store.session_format import Moved, SessionFormat, write_moved

log = logging.getLogger("balance.redis")

MAX_BATCH: Final = 128  # look-ups, and as many writes
MAX_WAITING: Final = 10_000  # look-ups; those beyond are not asked
MAX_WRITES: Final = 20_000
PING_S: Final = 1.0  # without traffic: a store that has died is known before somebody waits for it
AGAIN_S: Final = 0.1  # after a failure; growing to AGAIN_MAX_S
AGAIN_MAX_S: Final = 1.0
WRITE_AGAIN_S: Final = 1.0  # after writes were refused


class LookUp:
    """Sessions that somebody waits for."""

    __slots__ = ("answer", "deadline", "is_done", "pool", "sessions", "timer")

    def __init__(self, sessions: Sequence[bytes], pool: str, answer: Callable[[Answer], None], deadline: float) -> None:
        self.sessions = sessions
        self.pool = pool
        self.answer = answer
        self.deadline = deadline
        self.timer: asyncio.TimerHandle | None = None
        self.is_done = False

    def finish(self, answer: Answer) -> None:
        """Answer, once."""
        if not self.is_done:
            self.is_done = True
            if self.timer is not None:
                self.timer.cancel()
            self.answer(answer)


class Write(NamedTuple):
    """A session to write; an empty `pool` only extends its life."""

    session: bytes
    pool: str
    backend: str
    ttl_ms: int
    is_moved: bool


class RedisSessions:
    """See the module, and runtime.session_store, whose SessionStore it is."""

    def __init__(
        self, config: RedisConfig, row: memoryview, rows: Sequence[memoryview], moved: Callable[[Moved], None]
    ) -> None:
        """`row` is this worker's on the board, `rows` everybody's; `moved` is called for what other machines have moved."""
        self._config = config
        self._format = SessionFormat(config.prefix)
        self._row = row
        self._rows = rows
        self._loop = asyncio.get_running_loop()
        self._look_ups: deque[LookUp] = deque()
        self._writes: dict[tuple[bytes, str], Write] = {}
        self._write_at = 0.0  # loop time before which no write is tried, after a refusal
        self._work = asyncio.Event()
        self._failed_at = 0.0
        self._channel = MovedChannel(config, self._format.moved_channel, moved)
        self.denies = config.on_failure == "deny"
        self._is_open = True
        row[counters.STORE_STATE] = StoreState.CONNECTING
        row[counters.STORE_FAILURE] = Failure.NONE
        self._tasks = [spawn(self._run(), "Redis"), spawn(self._channel.run(), "Redis subscription")]

    @property
    def is_up(self) -> bool:
        return self._is_open and self._row[counters.STORE_STATE] != StoreState.DOWN

    @property
    def takes_writes(self) -> bool:
        return self._row[counters.STORE_STATE] < StoreState.READ_ONLY

    @property
    def flushed_at(self) -> float:
        return self._channel.flushed_at

    def look_up(self, sessions: Sequence[bytes], pool: str, answer: Callable[[Answer], None]) -> None:
        """See SessionStore."""
        timeout_s = self._config.timeout_s
        look_up = LookUp(sessions, pool, answer, self._loop.time() + timeout_s)
        if not self.is_up or len(self._look_ups) >= MAX_WAITING:
            self._loop.call_soon(look_up.finish, NO_ANSWER)
            return
        self._row[counters.STORE_LOOKUPS] += 1
        look_up.timer = self._loop.call_later(timeout_s, self._expire, look_up)
        self._look_ups.append(look_up)
        self._work.set()

    def keep(self, session: bytes, pool: str, backend: str, ttl_s: float, *, is_moved: bool) -> None:
        """See SessionStore."""
        self._add(Write(session, pool, backend, int(ttl_s * 1000), is_moved))

    def extend(self, session: bytes, ttl_s: float) -> None:
        """See SessionStore."""
        self._add(Write(session, "", "", int(ttl_s * 1000), False))

    def stop(self) -> None:
        """Answer who waits, and close."""
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        self._answer_all()
        self._row[counters.STORE_STATE] = StoreState.UNUSED
        self._row[counters.STORE_FAILURE] = Failure.NONE

    def _add(self, write: Write) -> None:
        place = write.session, write.pool
        before = self._writes.pop(place, None)
        if before is not None and before.is_moved:
            write = write._replace(is_moved=True)
        elif len(self._writes) >= MAX_WRITES:
            del self._writes[next(iter(self._writes))]  # the oldest
            self._row[counters.STORE_WRITES_LOST] += 1
        self._writes[place] = write
        self._work.set()

    def _expire(self, look_up: LookUp) -> None:
        if self._loop.time() > look_up.deadline + LATE_S:
            look_up.deadline = self._loop.time()  # this process was held up: its answer may be here already, unread
            look_up.timer = self._loop.call_later(LATE_S, self._expire, look_up)
            return
        self._row[counters.STORE_ERRORS] += 1
        look_up.finish(NO_ANSWER)

    # --- the connection -------------------------------------------------------------------------------

    async def _run(self) -> None:
        again_s = AGAIN_S
        while True:
            connection: RedisConnection | None = None
            try:
                connection = await open_connection(self._config.url, self._config.timeout_s)
                await self._ping(connection)
                self._is_back()
                again_s = AGAIN_S
                await self._serve(connection)
                continue  # made anew, perhaps to another machine: this one took no writes
            except StoreError as error:
                self._has_failed(error)
            finally:
                if connection is not None:
                    connection.close()
            await asyncio.sleep(again_s * random.uniform(0.75, 1.25))
            again_s = min(again_s * 2, AGAIN_MAX_S)

    async def _serve(self, connection: RedisConnection) -> None:
        """Until a failure; returns when the connection is no good for writes."""
        asked_at = self._loop.time()
        while True:
            now = self._loop.time()
            writes_due = bool(self._writes) and now >= self._write_at
            if not self._look_ups and not writes_due:
                self._work.clear()
                wait_s = asked_at + PING_S - now
                if self._writes:
                    wait_s = min(wait_s, self._write_at - now)
                if wait_s > 0:
                    await self._sleep(wait_s)
                elif self._loop.time() >= asked_at + PING_S:
                    asked_at = self._loop.time()
                    await self._ping(connection)
                continue
            asked_at = now
            look_ups = [look_up for look_up in self._taken(MAX_BATCH) if not look_up.is_done]
            writes: list[Write] = []
            if writes_due:
                count = MAX_BATCH if self.takes_writes else 1  # one to see whether they are taken again
                writes = [self._writes.pop(place) for place in list(self._writes)[:count]]
            try:
                is_good = await self._batch(connection, look_ups, writes)
            except BaseException:
                for write in writes:
                    self._writes.setdefault((write.session, write.pool), write)
                for look_up in look_ups:
                    look_up.finish(NO_ANSWER)
                raise
            if not is_good:
                return

    async def _sleep(self, wait_s: float) -> None:
        """Until there is work."""
        timer = self._loop.call_later(wait_s, self._work.set)
        try:
            await self._work.wait()
        finally:
            timer.cancel()

    def _taken(self, count: int) -> list[LookUp]:
        waiting = self._look_ups
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    async def _ping(self, connection: RedisConnection) -> None:
        """Also tells a Redis that answers what it is asked from one that only lets us in."""
        replies = await connection.run([("HGET", self._format.key(b""), ""), ("PTTL", self._format.key(b""))])
        self._judge(replies)
        self._judge_types([(replies[0], replies[1])])

    async def _batch(self, connection: RedisConnection, look_ups: list[LookUp], writes: list[Write]) -> bool:
        """One batch. False when the connection takes no writes, StoreError when it can't be used at all."""
        commands: list[Command] = []
        for look_up in look_ups:
            for session in look_up.sessions:
                key = self._format.key(session)
                commands += [("HGET", key, look_up.pool), ("PTTL", key)]
        counts = []
        for write in writes:
            written = self._commands(write)
            counts.append(len(written))
            commands += written
        replies = iter(await connection.run(commands))
        failure: ErrorReply | None = None
        for look_up in look_ups:
            pairs = [(next(replies), next(replies)) for _ in look_up.sessions]
            self._judge([reply for pair in pairs for reply in pair])
            self._judge_types(pairs)
            look_up.finish(_answer(look_up.sessions, pairs))
        refused = []
        for write, count in zip(writes, counts, strict=True):
            error = _first_error([next(replies) for _ in range(count)])
            if error is not None:
                failure = failure or error
                refused.append(write)
        if failure is None:
            if writes:
                self._writes_taken()
            return True
        return self._writes_refused(failure, refused)

    def _commands(self, write: Write) -> list[Command]:
        """One transaction, so that no session is without an end."""
        key = self._format.key(write.session)
        if not write.pool:
            return [("PEXPIRE", key, write.ttl_ms)]
        commands: list[Command] = [("MULTI",), ("HSET", key, write.pool, write.backend), ("PEXPIRE", key, write.ttl_ms)]
        if write.is_moved:
            message = write_moved(Moved(write.session, write.pool, write.backend))
            commands.append(("PUBLISH", self._format.moved_channel, message))
        return [*commands, ("EXEC",)]

    def _judge(self, replies: Sequence[Any]) -> None:
        """StoreError for a reply to a read that says that Redis can't be used."""
        for reply in replies:
            if isinstance(reply, ErrorReply) and not _is_of_one_key(reply):
                raise StoreError(reply.kind, str(reply))

    def _judge_types(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """StoreError for what HGET and PTTL never answer: it would be the answer to something else."""
        for backend, ttl_ms in pairs:
            if not (backend is None or isinstance(backend, (bytes, ErrorReply))) or not isinstance(ttl_ms, (int, ErrorReply)):
                raise StoreError(Failure.PROTOCOL, "an answer of another type")

    # --- its state ------------------------------------------------------------------------------------

    def _is_back(self) -> None:
        """Redis answers."""
        state = self._row[counters.STORE_STATE]
        if state == StoreState.READ_ONLY:
            return  # until a write is taken
        self._set(StoreState.UP, Failure.NONE)
        self._write_at = 0.0
        if state == StoreState.DOWN and not self._anybody_at(StoreState.DOWN):
            log.warning("Redis is back after %.1f s", self._loop.time() - self._failed_at)

    def _has_failed(self, error: StoreError) -> None:
        self._row[counters.STORE_ERRORS] += 1
        was = self._row[counters.STORE_STATE]
        said_before = was == StoreState.DOWN or self._anybody_at(StoreState.DOWN)
        self._set(StoreState.DOWN, error.kind)
        if was != StoreState.DOWN:
            self._failed_at = self._loop.time()
        if not said_before:
            log.warning("Redis can't be used: %s; %s", error, self._consequence)
        self._answer_all()

    def _writes_refused(self, error: ErrorReply, refused: list[Write]) -> bool:
        """Whether the connection may be kept: not where Redis says no more than that it is no primary (any more)."""
        self._row[counters.STORE_ERRORS] += len(refused)
        if not is_of_writes(error.kind) and error.kind is not Failure.REFUSED:
            for write in refused:
                self._writes.setdefault((write.session, write.pool), write)
            raise StoreError(error.kind, str(error))
        for write in refused:
            if not _is_of_one_key(error):
                self._writes.setdefault((write.session, write.pool), write)
        self._write_at = self._loop.time() + WRITE_AGAIN_S
        said_before = not self.takes_writes or self._anybody_at(StoreState.READ_ONLY)
        if not _is_of_one_key(error):
            self._set(StoreState.READ_ONLY, error.kind)
            if not said_before:
                log.warning("Redis takes no writes: %s; sessions that begin or move now are known on this machine alone", error)
        return error.kind is not Failure.READ_ONLY

    def _writes_taken(self) -> None:
        if self._row[counters.STORE_STATE] == StoreState.READ_ONLY:
            self._set(StoreState.UP, Failure.NONE)
            if not self._anybody_at(StoreState.READ_ONLY):
                log.warning("Redis takes writes again")

    @property
    def _consequence(self) -> str:
        return "who needs it is answered 503" if self.denies else "sessions go on by what this machine knows"

    def _set(self, state: StoreState, failure: Failure) -> None:
        self._row[counters.STORE_STATE] = state
        self._row[counters.STORE_FAILURE] = failure

    def _anybody_at(self, state: StoreState) -> bool:
        """Whether a worker stands so: the first to change, or the last, speaks for all of them."""
        return any(row[counters.STORE_STATE] == state for row in self._rows)

    def _answer_all(self) -> None:
        for look_up in self._taken(len(self._look_ups)):
            look_up.finish(NO_ANSWER)


def _answer(sessions: Sequence[bytes], pairs: Sequence[tuple[Any, Any]]) -> Answer:
    """The first session that the store knows in this pool; else one that it knows in others."""
    elsewhere: Answer = None
    for session, (backend, ttl_ms) in zip(sessions, pairs, strict=True):
        if isinstance(backend, ErrorReply) or not isinstance(ttl_ms, int) or ttl_ms == -2:  # -2: no such key
            continue
        if isinstance(backend, bytes):
            return Found(session, backend.decode("utf-8", "replace"), ttl_ms / 1000)
        if elsewhere is None:
            elsewhere = Found(session, "", ttl_ms / 1000)
    return elsewhere


def _first_error(replies: Sequence[Any]) -> ErrorReply | None:
    for reply in replies:
        if isinstance(reply, ErrorReply):
            return reply
        if isinstance(reply, list):  # of EXEC
            for inner in reply:
                if isinstance(inner, Exception):
                    return ErrorReply(str(inner))
    return None


def _is_of_one_key(error: ErrorReply) -> bool:
    """Somebody has written another type under our key; others are well."""
    return str(error).startswith("WRONGTYPE")
