"""A worker's part in a reload: prepares a snapshot on a thread while traffic flows, and serves with it when told to.

Nothing that is being served is touched before the word; what was prepared and is not wanted leaves no trace.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import socket
import sys
from dataclasses import dataclass

from balance.background_tasks import spawn
from balance.errors import StartError
from balance.process import logs
from balance.process.ipc.messages import ABANDON, COMMIT, COMMITTED, NO_ROOM, PREPARE, PREPARED, REFUSED, Blueprint, Preparation
from balance.process.ipc.pipe import Message, PipeEnd, unpacked
from balance.process.worker.health_view import HealthView
from balance.proxy.access_log import AccessLog
from balance.proxy.listener_server import ListenerServer, Pause
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.snapshot import Renewal, Snapshot, prepare

log = logging.getLogger("balance.worker")

TURN_S = 0.0005  # for how long the thread may keep the loop waiting; Python's own 5 ms would be felt by every request
MANY_OBJECTS = 20_000  # to go through so many takes some 2 ms; of a large configuration's, nearly all are here to stay


@dataclass(slots=True)
class Prepared:
    """What is ready to be served."""

    snapshot: Snapshot
    renewals: list[Renewal]
    access: AccessLog | None


class WorkerReload:
    """One preparation at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener_server: ListenerServer, health_view: HealthView, row: counters.Row
    ) -> None:
        self._loop = loop
        self._listener_server = listener_server
        self._health_view = health_view
        self._row = row
        self._sockets: dict[int, socket.socket] = {}  # by inode: those that are accepted from
        self._end: PipeEnd | None = None
        self._preparation: Preparation | None = None
        self._new: dict[int, socket.socket] = {}
        self._prepared: Prepared | None = None
        self._turn = asyncio.Lock()  # one thread at a time, also when one reload is given up and the next one begins

    def begin(self, sockets: dict[int, socket.socket], end: PipeEnd) -> None:
        """What is accepted from at the start, and the line to the supervisor."""
        self._sockets = sockets
        self._end = end

    def told(self, message: Message) -> None:
        """By the supervisor."""
        preparation = self._preparation
        if message.kind == PREPARE:
            self._drop()
            if len(message.fds) != 1 + len(message.data.new):
                self._say(REFUSED, (message.data.number, NO_ROOM))
                for fd in message.fds:
                    os.close(fd)
                return
            file, *fds = message.fds
            preparation = self._preparation = message.data
            self._new = {number: socket.socket(fileno=fd) for number, fd in zip(message.data.new, fds, strict=True)}
            spawn(self._prepare(message.data, file), "preparing a configuration")
        elif preparation is None or preparation.number != message.data:
            return  # of one that was dropped already
        elif message.kind == ABANDON:
            self._drop()
        elif message.kind == COMMIT and self._prepared is not None:
            spawn(self._commit(preparation, self._prepared), "changing over to a configuration")

    def _say(self, kind: str, data: object) -> None:
        if self._end is not None:
            self._end.say(kind, data)

    async def _prepare(self, preparation: Preparation, file: int) -> None:
        try:
            async with self._turn:
                if self._preparation is preparation:
                    await self._prepare_now(preparation, file)
        finally:
            os.close(file)

    async def _prepare_now(self, preparation: Preparation, file: int) -> None:
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(TURN_S)
        gc.disable()  # a collection over 10,000 new backends would stop the loop; most of what is new is here to stay
        try:
            prepared = await self._loop.run_in_executor(None, self._build, file, self._listener_server.leaving)
        except (OSError, StartError) as error:
            self._refuse(preparation, str(error))
        except Exception as error:
            log.exception("a configuration could not be prepared")
            self._refuse(preparation, f"{type(error).__name__}: {error}")
        else:
            if self._preparation is preparation:
                self._prepared = prepared
                self._say(PREPARED, preparation.number)
            elif prepared.access is not None:
                prepared.access.leave()
        finally:
            gc.enable()
            sys.setswitchinterval(interval_s)

    def _refuse(self, preparation: Preparation, why: str) -> None:
        if self._preparation is preparation:
            self._say(REFUSED, (preparation.number, why))
            self._drop()

    def _build(self, file: int, leaving: list[Backend]) -> Prepared:
        """On a thread."""
        blueprint: Blueprint = unpacked(file)[1]
        config = blueprint.config
        current = self._listener_server.snapshot
        shared = self._health_view.shared
        snapshot, renewals = prepare(config, blueprint.slots, self._row, random.random, shared, current, leaving)
        access = AccessLog(config.logging.access_log) if config.logging.access_log.enabled else None
        if gc.get_count()[0] > MANY_OBJECTS:
            gc.freeze()
        return Prepared(snapshot, renewals, access)

    async def _commit(self, preparation: Preparation, prepared: Prepared) -> None:
        self._preparation = self._prepared = None
        have, self._new = self._sockets | self._new, {}
        self._sockets = {number: have[number] for _, number in preparation.sockets}
        pause = Pause()
        for _ in self._health_view.foresee(prepared.snapshot, [renewal.pool for renewal in prepared.renewals]):
            await pause.if_due()
        await self._listener_server.swap(
            prepared.snapshot, prepared.renewals, [(name, have[number]) for name, number in preparation.sockets]
        )
        self._health_view.changed_over()
        self._listener_server.log_to(prepared.access)
        logs.reopen(prepared.snapshot.config.logging)
        self._row.cells[counters.GENERATION] = preparation.number
        self._say(COMMITTED, preparation.number)

    def reopen_logs(self) -> None:
        """Begin files anew that may have been moved away."""
        config = self._listener_server.snapshot.config.logging
        logs.reopen(config)
        if config.access_log.enabled:
            try:
                self._listener_server.log_to(AccessLog(config.access_log))
            except OSError as error:
                log.error("the access log cannot be opened: %s; it goes on where it was", error.strerror or error)

    def _drop(self) -> None:
        """What was prepared is not wanted."""
        self._preparation = None
        if self._prepared is not None and self._prepared.access is not None:
            self._prepared.access.leave()
        self._prepared = None
        for sock in self._new.values():
            sock.close()
        self._new = {}
