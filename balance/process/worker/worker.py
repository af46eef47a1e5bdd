"""A worker process: serves traffic and nothing else. Decides when traffic starts, changes and drains.

It reads its state from shared memory when it starts, so it can be replaced at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
from typing import Final

from balance.balancing import Needs
from balance.process.children.child import SupervisorPipe, watch_messages
from balance.process.children.child_context import ChildContext, new_event_loop, watch_liveness_pipe
from balance.process.ipc.messages import GRACEFUL_STOP, KEYS, KEYS_WANTED, REOPEN_LOGS
from balance.process.ipc.pipe import Message, PipeEnd
from balance.process.log_files import LogFiles
from balance.process.os_calls import set_process_name
from balance.process.sockets.listen_sockets import inode
from balance.process.worker.collector import Collector
from balance.process.worker.freed_memory import FreedMemory, malloc_trim
from balance.process.worker.health_view import HealthView
from balance.process.worker.shared_store import SharedStore
from balance.process.worker.worker_reload import WorkerReload, moment_now
from balance.proxy.listener_server import ListenerServer
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import build
from balance.security.key_set import JwksSource, KeySets

log = logging.getLogger("balance.worker")

OTHERS_INTERVAL_S: Final = 0.2  # how often least-connections learns what the other workers hold of each backend
OTHERS_AT_ONCE: Final = 16_000  # numbers of theirs that are read in one go: half a millisecond
EXIT_GRACE_S = 5  # after the drain's own deadline, for closing; then the kernel ends us


def run(context: ChildContext, worker_number: int, row: int, supervisor_pipe: SupervisorPipe) -> int:
    """The worker's main function. Returns the exit status."""
    set_process_name("balance-worker")
    context.listen_sockets.keep_for_worker(worker_number)
    for index, wakeup in enumerate(context.wakeups):
        if index != row:
            wakeup.worker_end.close()  # their other end stays open here, to ring them
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Worker(loop, context, worker_number, row).serve(supervisor_pipe))
    return 0


class Worker:
    """Connects the listener server with the rest of the instance."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ChildContext, worker_number: int, row: int) -> None:
        self._loop = loop
        self._context = context
        self._worker_number = worker_number
        self._row = row
        self._stopped = asyncio.Event()
        self._limit_s = context.config.drain_s
        self._cells = context.board.rows[row]
        self._others_seen = 0  # up to this slot, in this round
        counts = Row(self._cells, context.board.time_buckets_us)
        self._key_sets = KeySets(self._want_keys, context.key_states)
        self._pipe_end: PipeEnd | None = None
        self._health_view = HealthView(loop, context, row, self._key_sets)
        shared, to_backends = self._health_view.shared, context.tls_to_backends
        snapshot = build(context.config, context.slots, counts, random.random, shared, moment_now(), to_backends)
        self._listener_server = ListenerServer(
            loop, snapshot, counts, context.config.logging, shared, context.tls, context.access_log_fd
        )
        self._health_view.begin(snapshot, self._listener_server)
        self._listener_server.catch_up = self._health_view.refresh_if_changed
        self._shared_store = SharedStore(self._health_view.shared, self._cells, lambda: self._listener_server.snapshot)
        self._worker_reload = WorkerReload(
            loop, self._listener_server, self._health_view, counts, self._shared_store, to_backends
        )

    async def serve(self, supervisor_pipe: SupervisorPipe) -> None:
        """Accept until told to stop, then drain."""
        context, loop = self._context, self._loop
        watch_liveness_pipe(loop, context.liveness_pipe, self._stopped.set)
        loop.add_reader(context.wakeups[self._row].worker_end, self._health_view.on_wakeup)
        row = self._cells
        row[counters.PID] = os.getpid()
        row[counters.PLACE] = self._worker_number + 1
        row[counters.GENERATION] = context.generation.number
        self._health_view.refresh()  # wakeups arrive from now on: catch up with what was written before
        sockets = context.listen_sockets.for_worker(self._worker_number)
        self._shared_store.use(context.config)
        await self._listener_server.open(sockets)
        self._worker_reload.begin({inode(sock): sock for _, sock in sockets}, supervisor_pipe.pipe_end)
        self._sync_other_workers()
        FreedMemory(loop, lambda: self._listener_server.client_count, malloc_trim()).begin()
        self._pipe_end = supervisor_pipe.pipe_end
        watch_messages(loop, supervisor_pipe, self._on_message)
        Collector(loop, self._cells).begin()
        supervisor_pipe.notify_ready()
        await self._stopped.wait()
        await self._drain()

    def _on_message(self, message: Message) -> None:
        """A message of the supervisor."""
        if message.kind == GRACEFUL_STOP:
            self._begin_drain(message.data)
        elif message.kind == KEYS:
            self._key_sets.update(message.data)
        elif message.kind == REOPEN_LOGS:
            self._worker_reload.reopen_logs(LogFiles(message.data or (), message.fds))
        else:
            self._worker_reload.on_message(message)

    def _want_keys(self, source: JwksSource) -> None:
        """Ask control, by the supervisor, for a newer set of keys."""
        if self._pipe_end is not None:
            self._pipe_end.send(KEYS_WANTED, source)

    def _begin_drain(self, limit_s: float) -> None:
        """Drain within `limit_s`; the last call counts."""
        self._limit_s = limit_s
        with contextlib.suppress(OverflowError):
            # A worker that no longer turns, or whose supervisor is dead, must end too: by default SIGALRM kills.
            signal.alarm(int(limit_s) + EXIT_GRACE_S)
        self._listener_server.shorten_drain(limit_s)
        self._stopped.set()

    def _sync_other_workers(self) -> None:
        board = self._context.board
        slots, wait_s = part_of_slots(self._others_seen, board.slots, len(board.rows))
        self._others_seen = slots.stop
        pools = self._listener_server.snapshot.pools.values()
        if any(Needs.ACTIVE_ELSEWHERE in pool.needs for pool in pools):
            self._listener_server.see_others(slots, board.active_elsewhere(self._row, slots))
        self._loop.call_later(wait_s, self._sync_other_workers)

    async def _drain(self) -> None:
        self._cells[counters.LEAVING] = 1
        self._begin_drain(self._limit_s)
        cut = await self._listener_server.drain(self._limit_s)
        self._cells[counters.CUT] += cut
        if cut:
            log.warning("%d requests or connections were cut after %gs of draining", cut, self._limit_s)


def part_of_slots(seen: int, slots: int, workers: int) -> tuple[range, float]:
    """Which of `slots` to look at after the first `seen` ones, and the seconds until the part that follows.

    A round takes OTHERS_INTERVAL_S. 64 workers with 5,000 backends would hold their loops for 12 ms, were it not in parts.
    """
    first = seen if seen < slots else 0
    part = range(first, min(first + max(OTHERS_AT_ONCE // workers, 1), slots))
    return part, OTHERS_INTERVAL_S * len(part) / slots
