"""The control process: health checks, outlier detection, admin and metrics servers. No traffic passes here.

Its decisions are in shared memory: when it dies, traffic goes on and the restarted one continues.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
from dataclasses import replace

from balance.admin.events.watcher import EventWatcher
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import GenerationInfo
from balance.health.readiness import Stage
from balance.health.states import Event, State
from balance.probes.result import Result
from balance.process import logs
from balance.process.children.child import SupervisorPipe, watch_messages
from balance.process.children.child_context import ChildContext, new_event_loop, watch_liveness_pipe
from balance.process.control.admin_servers import AdminServers
from balance.process.control.autoscaling.autoscalers import Autoscalers
from balance.process.control.autoscaling.coordination import Remembered
from balance.process.control.certificate_watch import CertificateWatch
from balance.process.control.discovery.discoverer import Discoverer
from balance.process.control.discovery.file_look import Content, FileFeed
from balance.process.control.file_watch import FileWatch
from balance.process.control.health_checks import HealthChecks
from balance.process.control.health_registry import HealthRegistry
from balance.process.control.key_refresh import KeyRefresh
from balance.process.control.list_file_watch import ListFileWatch
from balance.process.control.orders import SupervisorOrders
from balance.process.control.outlier_detector import OutlierDetector
from balance.process.generation import distinct
from balance.process.ipc import messages
from balance.process.ipc.messages import ConfigUpdate, PrepareRequest
from balance.process.ipc.pipe import Message, from_memfd
from balance.process.log_files import LOG, LogFiles
from balance.process.os_calls import set_parent_death_signal, set_process_name
from balance.proxy.descriptor_limit import is_short
from balance.runtime import counters
from balance.security.key_set import KeyStates

log = logging.getLogger("balance.control")

PREDECESSOR_EXIT_S = 5.0  # by then the control process of the instance that was replaced is gone
HEARTBEAT_INTERVAL_S = 0.5
DESCRIPTOR_WARNING_INTERVAL_S = 10.0


def run(context: ChildContext, supervisor_pipe: SupervisorPipe) -> int:
    """Control's main function. Returns the exit status."""
    set_process_name("balance-control")
    set_parent_death_signal(context.supervisor_pid, signal.SIGKILL)  # nothing here is worth finishing
    context.listen_sockets.close_listeners()
    for wakeup in context.wakeups:
        wakeup.worker_end.close()
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Control(loop, context, supervisor_pipe).serve())
    return 0


class Control:
    """Health checks, outlier detection and the servers, over one shared memory."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ChildContext, supervisor_pipe: SupervisorPipe) -> None:
        self._loop = loop
        self._context = context
        self._supervisor_pipe = supervisor_pipe
        self._stopped = asyncio.Event()
        self._health_checks = HealthChecks(self._on_probe_result, lambda pool: self._health_registry.outage(pool))
        self._orders = SupervisorOrders(supervisor_pipe.pipe_end)
        self._generations = [generation.info(context.generation.number) for generation in context.history]
        self._view = StateView(
            config=context.config,
            slots=context.slots,
            board=context.board,
            supervisor_pid=context.supervisor_pid,
            control_pid=os.getpid(),
            started_at=context.started_at,
            listening=[
                (listen_address.listener, listen_address.address) for listen_address in context.listen_sockets.listeners
            ],
            last_result=self._health_checks.last_result,
            apply_admin_event=self._apply_admin_event,
            submit_order=self._orders.submit_order,
            generations=lambda: self._generations,
            names=context.names,
        )
        self._health_registry = HealthRegistry(context, self._view.backends(), self._view.events, self._on_pool_down)
        self._outlier_detector = OutlierDetector(loop, context, self._health_registry)
        self._admin_servers = AdminServers(loop, self._view)
        self._key_refresh = KeyRefresh(loop, context.key_states, self._keys_fetched)
        self._view.key_states = lambda: self._key_refresh.states
        known = context.autoscaling
        changes = {pool: Remembered(*change) for pool, change in known.changes.items()}
        self._autoscalers = Autoscalers(
            loop, self._view, known.keeper_fd, changes, context.generation.discovered, self._keep_keeper, self._size_changed
        )
        self._view.autoscalers = self._autoscalers.views
        self._files = FileFeed() if context.credentials is not None else None  # else control looks itself
        self._discoverer = Discoverer(
            loop, self._orders.submit_order, self._view.events, context.generation.discovered, self._files
        )
        self._view.discovery = self._discoverer.states
        self._descriptors_warned_at = -DESCRIPTOR_WARNING_INTERVAL_S  # that descriptors are short
        self._log_files = LogFiles()  # those that came with the request
        self._prepare_request: tuple[PrepareRequest, ConfigUpdate, dict[int, socket.socket]] | None = None

    async def serve(self) -> None:
        """Run until told to stop."""
        watch_liveness_pipe(self._loop, self._context.liveness_pipe, self._stopped.set)
        self._admin_servers.listen_on(self._context.listen_sockets.for_child(None))
        self._health_checks.update(self._view.backends(), self._health_registry.statuses)
        self._outlier_detector.start()
        EventWatcher(self._view, self._context.control_restarts).start(self._loop)
        self._view.traffic.start(self._loop)
        may_read = self._context.credentials is None  # else another process looks: see `file_watcher`
        if self._context.watch_config and may_read:
            texts = (generation.source.text for generation in self._context.history)
            FileWatch(self._loop, self._context.generation.source.file, texts, self._file_changed).start()
        if may_read:
            ListFileWatch(self._loop, lambda: self._view.config, self._list_changed).start()
        on_change = self._certificate_changed if may_read else None
        CertificateWatch(self._loop, lambda: self._view.config, on_change).start()
        self._key_refresh.update(self._view.config)
        # After an upgrade the old instance's control may scale until it is gone.
        wait_s = PREDECESSOR_EXIT_S if self._context.generation.origin == "upgrade" else 0.0
        self._loop.call_later(wait_s, self._autoscalers.start)
        self._discoverer.update(self._view.config)
        self._heartbeat()
        watch_messages(self._loop, self._supervisor_pipe, self._on_message)
        self._supervisor_pipe.notify_ready()
        await self._stopped.wait()
        if self._view.board.stage is Stage.DRAINING:  # else another instance has taken over, and serves
            cut = Totals(self._view.board.rows).cell(counters.CUT)
            self._view.events.publish("stage", "the instance ends", stage="ended", cut=cut)
        self._discoverer.close()
        self._health_checks.stop()
        self._autoscalers.close()
        self._view.events.close()
        await self._admin_servers.close()

    def _heartbeat(self) -> None:
        self._context.board.bump_control_heartbeat()
        self._check_descriptors()
        self._loop.call_later(HEARTBEAT_INTERVAL_S, self._heartbeat)

    def _check_descriptors(self) -> None:
        """Warn when descriptors run out: health checks and admin connections would fail."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        now = self._loop.time()
        if limit > 0 and now >= self._descriptors_warned_at + DESCRIPTOR_WARNING_INTERVAL_S and is_short(limit):
            self._descriptors_warned_at = now
            log.warning(
                "next to none of %d file descriptors are left: checks and the admin server may fail (`ulimit -n`)", limit
            )

    def _file_changed(self) -> None:
        """Ask for a reload; its result is in the log."""
        self._supervisor_pipe.pipe_end.send(messages.FILE_CHANGED)

    def _certificate_changed(self) -> None:
        """Ask for the present configuration with the certificates as their files have them now."""
        self._supervisor_pipe.pipe_end.send(messages.CERTIFICATE_CHANGED)

    def _keys_fetched(self, states: KeyStates) -> None:
        """Have the supervisor pass on what is known of keys by URL."""
        self._supervisor_pipe.pipe_end.send(messages.KEYS, dict(states))

    def _keep_keeper(self, fd: int) -> None:
        """Have the supervisor hold the socket of the autoscalers' keeper, so that the next control has it."""
        self._supervisor_pipe.pipe_end.send(messages.KEEPER, None, [fd] if fd >= 0 else [])

    def _size_changed(self, pool: str, last: Remembered) -> None:
        """Have the supervisor remember the last change of a pool's size: the cooldown outlives control."""
        self._supervisor_pipe.pipe_end.send(messages.SCALED, (pool, last.desired, last.token, last.at, last.is_done))

    def _list_changed(self) -> None:
        """Ask for the present configuration with the access lists as their files have them now."""
        self._supervisor_pipe.pipe_end.send(messages.LIST_CHANGED)

    def _on_message(self, message: Message) -> None:
        """A message of the supervisor."""
        match message.kind:
            case messages.GRACEFUL_STOP:
                self._stopped.set()
            case messages.ORDER_RESULT:
                self._orders.on_result(*message.data)
            case messages.RELOAD_FAILED:
                self._view.failed_reloads.append(message.data)
            case messages.KEYS_WANTED:
                self._key_refresh.fetch_newer(message.data)
            case messages.FOUND_FILE if self._files is not None:
                path, data, failure = message.data
                self._files.put(path, Content(data, failure))
            case messages.REREAD_STATES:
                self._reread_states()
                # Its control process may still say something until it is gone.
                self._loop.call_later(PREDECESSOR_EXIT_S, self._reread_states)
            case messages.REOPEN_LOGS:
                files = LogFiles(message.data or (), message.fds)
                logs.reopen(self._view.config.logging, files.take(LOG))
                files.close()
            case messages.REWRITE_STATES:
                self._health_registry.rewrite_states()
                self._outlier_detector.schedule_unejects()
            case messages.PREPARE:
                self._prepare(message)
            case messages.COMMIT if self._prepare_request is not None and self._prepare_request[0].number == message.data:
                self._commit(*self._prepare_request)
            case messages.ABORT:
                self._discard()

    def _reread_states(self) -> None:
        self._health_registry.reread_states()
        self._outlier_detector.schedule_unejects()

    def _prepare(self, message: Message) -> None:
        """Prepare a new configuration; only a lack of descriptors can refuse it."""
        self._discard()
        prepare_request: PrepareRequest = message.data
        if len(message.fds) != 1 + len(prepare_request.new) + len(prepare_request.log_files):
            self._supervisor_pipe.pipe_end.send(messages.REFUSED, (prepare_request.number, messages.NO_DESCRIPTORS))
            for fd in message.fds:
                os.close(fd)
            return
        file, *fds = message.fds
        config_update: ConfigUpdate = from_memfd(file)[1]
        os.close(file)
        count = len(prepare_request.new)
        new = {number: socket.socket(fileno=fd) for number, fd in zip(prepare_request.new, fds[:count], strict=True)}
        self._log_files = LogFiles(prepare_request.log_files, fds[count:])
        self._prepare_request = prepare_request, config_update, new
        self._supervisor_pipe.pipe_end.send(messages.PREPARED, prepare_request.number)

    def _commit(self, prepare_request: PrepareRequest, config_update: ConfigUpdate, new: dict[int, socket.socket]) -> None:
        self._prepare_request = None
        view = self._view
        if config_update.config.admin.auth != view.config.admin.auth:
            view.events.close()  # a token that was taken out reads no more; who has another comes again
        view.config, view.slots, view.listening = config_update.config, config_update.slots, prepare_request.listening
        view.names = {**view.names, **{slot: name for name, slot in config_update.slots.items()}}
        info = GenerationInfo(
            config_update.number,
            config_update.made_at,
            config_update.origin,
            config_update.config,
            True,
            config_update.summary,
            config_update.refreshed,
        )
        before = [each for each in self._generations if each.base != info.base]
        self._generations = distinct([*(replace(each, is_current=False) for each in before), info])
        self._health_registry.update(view.backends())
        self._health_checks.update(view.backends(), self._health_registry.statuses)
        self._outlier_detector.update()
        self._key_refresh.update(config_update.config)
        self._autoscalers.update(config_update.config)
        self._discoverer.update(config_update.config)
        for pool in config_update.config.pools:
            if self._health_registry.outage(pool.name):
                self._on_pool_down(pool.name)
        available = self._admin_servers.sockets | new
        self._admin_servers.listen_on([(name, available[number]) for name, number in prepare_request.sockets])
        logs.reopen(config_update.config.logging, self._log_files.take(LOG))
        self._log_files.close()
        self._supervisor_pipe.pipe_end.send(messages.COMMITTED, config_update.number)

    def _discard(self) -> None:
        if self._prepare_request is not None:
            for sock in self._prepare_request[2].values():
                sock.close()
            self._prepare_request = None
        self._log_files.close()

    def _on_probe_result(self, slot: int, result: Result) -> None:
        event = Event.PASS if result.is_ok else Event.FAIL
        self._health_registry.apply_event(slot, event, result.reason, is_explicit=result.is_explicit)

    def _on_pool_down(self, pool: str) -> None:
        """No backend of the pool is ready: check at once, after the current event, whether one can be."""
        self._loop.call_soon(self._probe_down_pool, pool)

    def _probe_down_pool(self, pool: str) -> None:
        if self._health_registry.outage(pool):
            self._outlier_detector.uneject_pool(pool)
            for slot in self._health_registry.slots(pool):
                if not self._health_registry.state(slot).is_operator_set:
                    self._health_checks.probe_now(slot)

    def _apply_admin_event(self, slot: int, event: Event, reason: str) -> State:
        """An operator's order for a backend. Returns its state."""
        self._health_registry.apply_event(slot, event, reason)
        if event is Event.ENABLE:
            self._health_checks.probe_now(slot)
        return self._health_registry.state(slot)
