"""A worker's part in a reload: prepares the new snapshot in a thread while it serves, and swaps to it at COMMIT.

Nothing that is served changes before COMMIT; an aborted preparation leaves no trace.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import socket
import sys
import time
from dataclasses import dataclass

from balance.background_tasks import spawn
from balance.errors import StartError
from balance.process import logs
from balance.process.ipc.messages import (
    ABORT,
    COMMIT,
    COMMITTED,
    NO_DESCRIPTORS,
    PREPARE,
    PREPARED,
    REFUSED,
    ConfigUpdate,
    PrepareRequest,
)
from balance.process.ipc.pipe import Message, PipeEnd, from_memfd
from balance.process.log_files import ACCESS, LOG, LogFiles
from balance.process.worker.health_view import HealthView
from balance.process.worker.shared_store import SharedStore
from balance.proxy.access_log import AccessLog
from balance.proxy.listener_server import ListenerServer, Pause
from balance.proxy.tracing.tracer import load_library
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.row import Row
from balance.runtime.snapshot import Renewal, Snapshot, prepare
from balance.stages.environment import Moment
from balance.tls.backend_context import BackendContexts
from balance.tls.contexts import TlsContexts
from balance.tls.pem_loading import TlsError

log = logging.getLogger("balance.worker")

# For how long the thread may keep the loop waiting; Python's own 5 ms would be felt by every request.
SWITCH_INTERVAL_S = 0.0005
GC_FREEZE_THRESHOLD = 20_000  # to go through so many takes some 2 ms; of a large configuration's, nearly all are here to stay


def moment_now() -> Moment:
    """Now, for what is built."""
    return Moment(time.time(), time.monotonic())


@dataclass(slots=True)
class Prepared:
    """What is ready to be served."""

    snapshot: Snapshot
    renewals: list[Renewal]
    access: AccessLog | None
    tls: TlsContexts
    tls_to_backends: BackendContexts


class WorkerReload:
    """One preparation at a time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener_server: ListenerServer,
        health_view: HealthView,
        row: Row,
        shared_store: SharedStore,
        tls_to_backends: BackendContexts,
    ) -> None:
        self._tls_to_backends = tls_to_backends
        self._loop = loop
        self._listener_server = listener_server
        self._health_view = health_view
        self._row = row
        self._shared_store = shared_store
        self._sockets: dict[int, socket.socket] = {}  # by inode: those that are accepted from
        self._pipe_end: PipeEnd | None = None
        self._prepare_request: PrepareRequest | None = None
        self._new: dict[int, socket.socket] = {}
        self._log_files = LogFiles()  # those that came with the request
        self._prepared: Prepared | None = None
        self._prepare_lock = asyncio.Lock()  # one thread at a time, also when one reload is given up and the next one begins

    def begin(self, sockets: dict[int, socket.socket], end: PipeEnd) -> None:
        """The sockets that are accepted from, and the pipe to the supervisor."""
        self._sockets = sockets
        self._pipe_end = end

    def on_message(self, message: Message) -> None:
        """A message of the supervisor."""
        prepare_request = self._prepare_request
        if message.kind == PREPARE:
            self._discard()
            if len(message.fds) != 1 + len(message.data.new) + len(message.data.log_files):
                self._send(REFUSED, (message.data.number, NO_DESCRIPTORS))
                for fd in message.fds:
                    os.close(fd)
                return
            file, *fds = message.fds
            prepare_request = self._prepare_request = message.data
            count = len(message.data.new)
            fds, self._log_files = fds[:count], LogFiles(message.data.log_files, fds[count:])
            self._new = {number: socket.socket(fileno=fd) for number, fd in zip(message.data.new, fds, strict=True)}
            spawn(self._prepare(message.data, file), "preparing a configuration")
        elif prepare_request is None or prepare_request.number != message.data:
            return  # of one that was dropped already
        elif message.kind == ABORT:
            self._discard()
        elif message.kind == COMMIT and self._prepared is not None:
            spawn(self._commit(prepare_request, self._prepared), "changing over to a configuration")

    def _send(self, kind: str, data: object) -> None:
        if self._pipe_end is not None:
            self._pipe_end.send(kind, data)

    async def _prepare(self, prepare_request: PrepareRequest, file: int) -> None:
        try:
            async with self._prepare_lock:
                if self._prepare_request is prepare_request:
                    await self._prepare_now(prepare_request, file)
        finally:
            os.close(file)

    async def _prepare_now(self, prepare_request: PrepareRequest, file: int) -> None:
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.disable()  # a collection over 10,000 new backends would stop the loop; most of what is new is here to stay
        try:
            opened = self._log_files.take(ACCESS)
            prepared = await self._loop.run_in_executor(None, self._build, file, self._listener_server.leaving, opened)
        except (OSError, StartError, TlsError) as error:
            self._refuse(prepare_request, str(error))
        except Exception as error:
            log.exception("a configuration could not be prepared")
            self._refuse(prepare_request, f"{type(error).__name__}: {error}")
        else:
            if self._prepare_request is prepare_request:
                self._prepared = prepared
                self._send(PREPARED, prepare_request.number)
            elif prepared.access is not None:
                prepared.access.leave()
        finally:
            gc.enable()
            sys.setswitchinterval(interval_s)

    def _refuse(self, prepare_request: PrepareRequest, why: str) -> None:
        if self._prepare_request is prepare_request:
            self._send(REFUSED, (prepare_request.number, why))
            self._discard()

    def _build(self, file: int, leaving: list[Backend], access_log_fd: int | None) -> Prepared:
        """In the thread: build the snapshot."""
        try:
            return self._built(file, leaving, access_log_fd)
        except BaseException:
            if access_log_fd is not None:
                os.close(access_log_fd)
            raise

    def _built(self, file: int, leaving: list[Backend], access_log_fd: int | None) -> Prepared:
        config_update: ConfigUpdate = from_memfd(file)[1]
        config = config_update.config
        current = self._listener_server.snapshot
        shared = self._health_view.shared
        to_backends = BackendContexts(config, self._tls_to_backends)
        snapshot, renewals = prepare(
            config, config_update.slots, self._row, random.random, shared, current, leaving, moment_now(), to_backends
        )
        tls = TlsContexts(config, self._listener_server.tls)
        load_library(config.tracing)
        access = AccessLog(config.logging.access_log, access_log_fd) if config.logging.access_log.enabled else None
        if gc.get_count()[0] > GC_FREEZE_THRESHOLD:
            gc.freeze()
        return Prepared(snapshot, renewals, access, tls, to_backends)

    async def _commit(self, prepare_request: PrepareRequest, prepared: Prepared) -> None:
        self._prepare_request = self._prepared = None
        available, self._new = self._sockets | self._new, {}
        self._sockets = {number: available[number] for _, number in prepare_request.sockets}
        self._shared_store.use(prepared.snapshot.config)
        pause = Pause()
        for _ in self._health_view.prime(prepared.snapshot, [renewal.pool for renewal in prepared.renewals]):
            await pause.if_due()
        sockets = [(name, available[number]) for name, number in prepare_request.sockets]
        self._tls_to_backends = prepared.tls_to_backends
        await self._listener_server.swap(prepared.snapshot, prepared.renewals, sockets, prepared.tls)
        self._health_view.swap_done()
        self._listener_server.log_to(prepared.access)
        logs.reopen(prepared.snapshot.config.logging, self._log_files.take(LOG))
        self._row.cells[counters.GENERATION] = prepare_request.number
        self._send(COMMITTED, prepare_request.number)

    def reopen_logs(self, files: LogFiles) -> None:
        """Reopen log files, after a rotation; `files` are those that the supervisor has opened."""
        config = self._listener_server.snapshot.config.logging
        logs.reopen(config, files.take(LOG))
        if config.access_log.enabled:
            try:
                self._listener_server.log_to(AccessLog(config.access_log, files.take(ACCESS)))
            except OSError as error:
                log.error("the access log cannot be opened: %s; it goes on where it was", error.strerror or error)
        files.close()

    def _discard(self) -> None:
        """Drop what was prepared."""
        self._prepare_request = None
        if self._prepared is not None and self._prepared.access is not None:
            self._prepared.access.leave()
        self._prepared = None
        for sock in self._new.values():
            sock.close()
        self._new = {}
        self._log_files.close()
