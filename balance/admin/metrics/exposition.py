"""The Prometheus metrics: which name each counter has. A scrape sums the workers' rows and costs the workers nothing."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from balance.admin.backends import breaker_phase, waiting
from balance.admin.metrics import processes
from balance.admin.metrics.shared_limits import shared_limit_metrics
from balance.admin.metrics.totals import Totals
from balance.admin.sessions import uses_store, worst_state
from balance.admin.state_view import BackendView, StateView
from balance.admin.supervisor_orders import ReloadResult
from balance.config.fault_ends import fault_end_s
from balance.health.circuit_breaker import TOTAL_OPENINGS, BreakerState
from balance.model import Why
from balance.retry.decision import NOT_RETRIED
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, NOBODY, route_key, route_of
from balance.shared_store.failures import StoreState
from balance.tls.pem_loading import expires_at
from balance.tls.revocation_lists import ends_at
from balance.version import VERSION

BACKEND = ("pool", "backend")
US_PER_S = 1_000_000

# Counters with one cell in each backend's block.
BACKEND_COUNTERS = (
    ("balance_backend_requests", "Requests (HTTP) or connections (TCP) sent to the backend.", counters.LEASES),
    ("balance_backend_copies", "Copies of requests sent to the backend as to a mirror.", counters.COPIES),
    ("balance_backend_retries", "Attempts moved away from the backend to another one.", counters.RETRIES),
    ("balance_backend_failures", "Requests or connections that ended by the backend's fault.", counters.FAILURES),
    ("balance_backend_connects", "Connections opened to the backend.", counters.CONNECTS),
    ("balance_backend_connect_failures", "Connections to the backend that could not be made.", counters.CONNECT_FAILURES),
    ("balance_backend_sent_bytes", "Bytes sent to the backend.", counters.SENT_BYTES),
    ("balance_tcp_sessions", "Connections in TCP mode that were joined to the backend.", counters.TCP_SESSIONS),
    ("balance_sessions", "Sessions of clients that began at the backend, where sessions are kept.", counters.SESSIONS),
    ("balance_backend_received_bytes", "Bytes received from the backend.", counters.RECEIVED_BYTES),
)

TLS_WHYS = tuple(why for why in Why if why.word.startswith("tls_"))
_ANSWERS = (StoreState.UP, StoreState.READ_ONLY)
REFUSALS = (
    ("blocked", counters.REFUSED_BLOCKED),
    ("connections", counters.REFUSED_COUNT),
    ("rate", counters.REFUSED_RATE),
    ("proxy_header", counters.REFUSED_PROXY_HEADER),
)

STORE_COUNTERS = (
    ("balance_redis_lookups", "Sessions that were asked for in Redis.", counters.STORE_LOOKUPS),
    ("balance_redis_errors", "Commands that Redis refused or did not answer in time.", counters.STORE_ERRORS),
    ("balance_redis_writes_lost", "Sessions that were not written to Redis, as too many waited.", counters.STORE_WRITES_LOST),
)


def _bound(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _add(family: HistogramMetricFamily, labels: Sequence[str], histogram: tuple[list[tuple[float, int]], float]) -> None:
    buckets, total = histogram
    family.add_metric(labels, [(_bound(bound), count) for bound, count in buckets], total)


def registry(view: StateView) -> CollectorRegistry:
    """A registry with Balance's metrics only, without the library's own."""
    metrics = CollectorRegistry(auto_describe=False)
    metrics.register(BoardCollector(view))
    return metrics


class BoardCollector(Collector):
    """Reads shared memory at each scrape."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._totals = Totals(view.board.rows)
        self._cpu_s = 0.0

    def describe(self) -> list[Metric]:
        """Empty: registering must not read the metrics."""
        return []

    def collect(self) -> Iterator[Metric]:
        backends = list(self._view.backends())
        yield from self._requests(backends)
        yield from self._backends(backends)
        yield from self._limits(backends)
        yield from self._policies()
        yield from self._connections()
        yield from self._acceptance()
        yield from self._store()
        yield from shared_limit_metrics(self._view, self._totals)
        yield from self._keys()
        yield from self._tls()
        yield from self._program()
        yield from self._processes()

    def _requests(self, backends: list[BackendView]) -> Iterator[Metric]:
        totals = self._totals
        names = {0: ("", "")} | {
            backend_view.slot: (backend_view.pool.name, backend_view.backend.name) for backend_view in backends
        }
        requests = CounterMetricFamily(
            "balance_http_requests", "HTTP requests answered.", labels=("method", "status", "pool", "backend", "route")
        )
        counts: dict[tuple[str, str, str, str, str], int] = {}
        # The counts of removed backends stay under their names.
        for (slot, method, status, route), count in totals.series().items():
            named = names.get(slot) or self._view.names.get(slot, ("", ""))
            route_name = route_of(self._view.names.get(route, ("", "")))[1] if route else ""
            series = (counters.METHODS[method], str(status), *named, route_name)
            counts[series] = counts.get(series, 0) + count  # a backend with a new address has a new slot
        for labelled, count in counts.items():
            requests.add_metric(labelled, count)
        yield requests
        duration = HistogramMetricFamily(
            "balance_http_request_duration_seconds", "From a request's first byte to its reply's last.", labels=BACKEND
        )
        for slot, labels in names.items():
            base = counters.block(slot) + counters.REQUEST_TIME
            _add(duration, labels, totals.histogram(base, counters.TIME_BUCKETS_US, US_PER_S))
        yield duration
        for name, text, base in (
            ("balance_http_request_size_bytes", "Size of requests, heads included.", counters.REQUEST_SIZE),
            ("balance_http_response_size_bytes", "Size of replies, heads included.", counters.RESPONSE_SIZE),
        ):
            size = HistogramMetricFamily(name, text)
            _add(size, (), totals.histogram(base, counters.SIZE_BUCKETS, 1))
            yield size
        ended = CounterMetricFamily(
            "balance_requests_ended", "Requests and TCP connections by how they ended.", labels=("why",)
        )
        for why in Why:
            ended.add_metric((why.word,), totals.cell(counters.WHY + why))
        yield ended
        skipped = CounterMetricFamily(
            "balance_retries_skipped", "Tries that failed and were not made again, by the reason.", labels=("reason",)
        )
        for reason in NOT_RETRIED:
            skipped.add_metric((reason.word,), totals.cell(counters.skipped(reason)))
        yield skipped

    def _tls(self) -> Iterator[Metric]:
        config = self._view.config
        served = [(each.name, each.tls) for each in config.listeners if each.tls.enabled]
        if config.admin.enabled and config.admin.tls.enabled:
            served.append(("admin", config.admin.tls.policy))
        pools = [pool for pool in config.pools if pool.tls.client_cert_file.file]
        if not served and not pools:
            return
        totals = self._totals
        handshakes = CounterMetricFamily("balance_tls_handshakes", "TLS handshakes of clients.", labels=("result",))
        handshakes.add_metric(("ok",), totals.cell(counters.TLS_HANDSHAKES))
        for why in TLS_WHYS:
            handshakes.add_metric((why.word.removeprefix("tls_"),), totals.cell(counters.WHY + why))
        yield handshakes
        expiry = GaugeMetricFamily(
            "balance_tls_certificate_expiry_seconds",
            "When the certificate ends, in seconds since the epoch.",
            labels=("listener", "certificate"),
        )
        for name, tls in served:
            for file in {certificate.cert_file.file: certificate.cert_file for certificate in tls.certificates}.values():
                expiry.add_metric((name, file.file), expires_at(file))
        for own in dict.fromkeys(pool.tls.client_cert_file for pool in pools):
            expiry.add_metric(("", own.file), expires_at(own))
        yield expiry
        lists = GaugeMetricFamily(
            "balance_tls_crl_expiry_seconds",
            "When the first of the client revocation lists in a file ends, in seconds since the epoch.",
            labels=("listener", "crl"),
        )
        for name, tls in served:
            crl = tls.client_crl_file
            if crl.file and tls.verifies_clients and ends_at(crl):
                lists.add_metric((name, crl.file), ends_at(crl))
        if lists.samples:
            yield lists

    def _keys(self) -> Iterator[Metric]:
        states = self._view.key_states()
        if not states:
            return
        label = ("url",)
        age = GaugeMetricFamily("balance_jwks_age_seconds", "How old the keys of tokens are; -1: there are none.", labels=label)
        up = GaugeMetricFamily("balance_jwks_up", "1 when the last fetch of keys was good.", labels=label)
        fetches = CounterMetricFamily("balance_jwks_fetches", "Fetches of keys, by result.", labels=(*label, "result"))
        by_name = {source.name: state for source, state in states.items()}  # other settings, the same URL: one of them
        for name, state in by_name.items():
            age.add_metric((name,), max(time.time() - state.fetched_at, 0.0) if state.text else -1.0)
            up.add_metric((name,), bool(state.text) and not state.failure)
            fetches.add_metric((name, "ok"), state.fetches - state.failures)
            fetches.add_metric((name, "failure"), state.failures)
        yield from (age, up, fetches)

    def _store(self) -> Iterator[Metric]:
        if not uses_store(self._view.config):
            return
        state, _ = worst_state(self._view)
        yield GaugeMetricFamily("balance_redis_up", "1 when every worker can ask Redis.", value=state in _ANSWERS)
        yield GaugeMetricFamily("balance_redis_writable", "1 when every worker can write there.", value=state is StoreState.UP)
        for name, text, cell in STORE_COUNTERS:
            yield CounterMetricFamily(name, text, value=self._totals.cell(cell))

    def _backends(self, backends: list[BackendView]) -> Iterator[Metric]:
        totals = self._totals
        healthy = GaugeMetricFamily("balance_backend_healthy", "1 when the backend may get traffic.", labels=BACKEND)
        active = GaugeMetricFamily(
            "balance_backend_connections", "Requests (HTTP) or connections (TCP) at the backend now.", labels=BACKEND
        )
        pooled = GaugeMetricFamily(
            "balance_pool_connections", "Connections to the backend by state.", labels=(*BACKEND, "state")
        )
        duration = HistogramMetricFamily(
            "balance_backend_request_duration_seconds", "From the choice of the backend to its reply's end.", labels=BACKEND
        )
        families = [(CounterMetricFamily(name, text, labels=BACKEND), cell) for name, text, cell in BACKEND_COUNTERS]
        for backend_view in backends:
            labels = (backend_view.pool.name, backend_view.backend.name)
            block = counters.block(backend_view.slot)
            healthy.add_metric(labels, backend_view.state.is_ready)
            active.add_metric(labels, totals.cell(block + counters.ACTIVE))
            idle = totals.cell(block + counters.IDLE)
            pooled.add_metric((*labels, "active"), max(totals.cell(block + counters.OPEN) - idle, 0))
            pooled.add_metric((*labels, "idle"), idle)
            _add(duration, labels, totals.histogram(block + counters.UPSTREAM_TIME, counters.TIME_BUCKETS_US, US_PER_S))
            for counter, cell in families:
                counter.add_metric(labels, totals.cell(block + cell))
        yield from (healthy, active, pooled, duration)
        yield from self._breakers(backends)
        yield from (counter for counter, _ in families)

    def _limits(self, backends: list[BackendView]) -> Iterator[Metric]:
        limit = GaugeMetricFamily(
            "balance_backend_max_connections", "What the backend may have at once, where there is a limit.", labels=BACKEND
        )
        for backend_view in backends:
            if backend_view.backend.max_connections:
                limit.add_metric((backend_view.pool.name, backend_view.backend.name), backend_view.backend.max_connections)
        queued = GaugeMetricFamily(
            "balance_pool_waiting", "Requests that wait because every backend is full.", labels=("pool",)
        )
        for pool in self._view.config.pools:
            queued.add_metric((pool.name,), waiting(pool, self._view, self._totals))
        yield from (limit, queued)

    def _policies(self) -> Iterator[Metric]:
        """What routes do besides serving: mirrors and injected faults, where there are any."""
        labels = ("listener", "route")
        copied = CounterMetricFamily("balance_mirrored_requests", "Copies of requests that a mirror answered.", labels=labels)
        dropped = CounterMetricFamily(
            "balance_mirror_dropped", "Copies of requests that were not sent to a mirror, or not answered.", labels=labels
        )
        active = GaugeMetricFamily(
            "balance_fault_injection_active", "1 until the time when the route injects no more faults.", labels=labels
        )
        limited = CounterMetricFamily(
            "balance_rate_limited", "Requests beyond a rate limit: refused, or reported only.", labels=(*labels, "action")
        )
        for listener in self._view.config.listeners:
            if listener.rate_limit.enabled and not listener.http.routes:
                self._add_limited(limited, (listener.name, ""), self._view.slots.get((LISTENER, listener.name), NOBODY))
            for route in listener.http.routes:
                label = (listener.name, route.name)
                if route.rate_limit.enabled:
                    self._add_limited(limited, label, self._view.slots.get(route_key(*label), NOBODY))
                slot = self._view.slots.get(route_key(*label))
                if route.policy.mirror is not None and slot:
                    copied.add_metric(label, self._totals.cell(counters.block(slot) + counters.ROUTE_MIRRORED))
                    dropped.add_metric(label, self._totals.cell(counters.block(slot) + counters.ROUTE_MIRROR_DROPPED))
                if route.policy.fault is not None:
                    active.add_metric(label, time.time() < fault_end_s(route.policy.fault))
        yield from (copied, dropped, active, limited)

    def _add_limited(self, family: CounterMetricFamily, label: tuple[str, str], slot: int) -> None:
        for action, cell in (("refused", counters.RATE_LIMITED), ("reported", counters.RATE_REPORTED)):
            family.add_metric((*label, action), self._totals.cell(counters.block(slot) + cell) if slot else 0)

    def _breakers(self, backends: list[BackendView]) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "balance_circuit_breaker_state", "1 for the state that the backend's breaker is in.", labels=(*BACKEND, "state")
        )
        failures = CounterMetricFamily(
            "balance_circuit_breaker_failures", "Failures and bad answers that breakers were told of.", labels=BACKEND
        )
        opened = CounterMetricFamily("balance_circuit_breaker_opened", "Times that the breaker opened.", labels=BACKEND)
        ejections = CounterMetricFamily("balance_backend_ejections", "Times that the backend was ejected.", labels=BACKEND)
        now_us = time.monotonic_ns() // 1000
        for backend_view in backends:
            labels = (backend_view.pool.name, backend_view.backend.name)
            if backend_view.pool.breaker.enabled:
                holds = breaker_phase(backend_view, self._view, now_us)
                for phase in BreakerState:
                    state.add_metric((*labels, phase.word), phase is holds)
                failures.add_metric(labels, self._totals.cell(counters.block(backend_view.slot) + counters.BLAMED))
                opened.add_metric(labels, self._view.board.evidence(backend_view.slot)[TOTAL_OPENINGS])
            if backend_view.pool.health_check.passive.enabled:
                ejections.add_metric(labels, self._view.board.ejection(backend_view.slot).total)
        yield from (state, failures, opened, ejections)

    def _connections(self) -> Iterator[Metric]:
        cell = self._totals.cell
        yield CounterMetricFamily("balance_connections", "Client connections accepted.", cell(counters.CONNECTIONS))
        yield GaugeMetricFamily("balance_active_connections", "Client connections open.", cell(counters.CONNECTIONS_OPEN))
        yield GaugeMetricFamily(
            "balance_active_requests", "HTTP requests and TCP connections being served.", cell(counters.EXCHANGES_OPEN)
        )
        yield CounterMetricFamily(
            "balance_connections_cut", "Requests and connections that the end of a drain has cut.", cell(counters.CUT)
        )
        transferred = CounterMetricFamily(
            "balance_bytes", "Bytes exchanged with clients: in from them, out to them.", labels=("direction",)
        )
        transferred.add_metric(("in",), self._totals.bytes_in)
        transferred.add_metric(("out",), self._totals.bytes_out)
        yield transferred

    def _acceptance(self) -> Iterator[Metric]:
        """Whether clients are accepted."""
        view, cell = self._view, self._totals.cell
        pauses = CounterMetricFamily(
            "balance_accept_pauses", "Times that a listening socket's callers had to wait in its backlog.", labels=("reason",)
        )
        pauses.add_metric(("descriptors",), cell(counters.PAUSES_SHORT))
        pauses.add_metric(("max_clients",), cell(counters.PAUSES_FULL))
        yield pauses
        yield GaugeMetricFamily("balance_accept_paused", "Listening sockets whose callers wait now.", cell(counters.PAUSED))
        yield CounterMetricFamily(
            "balance_idle_clients_closed", "Idle clients closed to make room for others.", cell(counters.CLIENTS_RECLAIMED)
        )
        clients = GaugeMetricFamily("balance_listener_connections", "Client connections open.", labels=("listener",))
        limit = GaugeMetricFamily("balance_listener_max_clients", "As many there may be.", labels=("listener",))
        refused = CounterMetricFamily(
            "balance_connections_refused", "Connections that were reset when they were accepted.", labels=("listener", "reason")
        )
        for listener in view.config.listeners:
            clients.add_metric((listener.name,), view.clients(listener.name, self._totals))
            slot = view.slots.get((LISTENER, listener.name), NOBODY)
            for reason, refusals in REFUSALS:
                refused.add_metric((listener.name, reason), cell(counters.block(slot) + refusals) if slot else 0)
            if listener.max_clients:
                limit.add_metric((listener.name,), listener.max_clients)
        yield from (clients, limit, refused)

    def _program(self) -> Iterator[Metric]:
        view = self._view
        lag = GaugeMetricFamily(
            "balance_event_loop_lag_seconds", "How late the worker's loop ran, worst of the last second.", labels=("worker",)
        )
        worst: dict[int, int] = {}
        for number, row in view.worker_rows():  # a draining worker has the same number as its successor
            worst[number] = max(worst.get(number, 0), row[counters.LAG_MAX_US] if row is not None else 0)
        for number, lag_us in worst.items():
            lag.add_metric((str(number),), lag_us / US_PER_S)
        yield lag
        alive = sum(1 for worker in view.workers() if worker.pid)
        yield GaugeMetricFamily("balance_workers", "Workers alive.", alive)
        yield CounterMetricFamily("balance_worker_restarts", "Workers replaced.", view.board.worker_restarts)
        yield CounterMetricFamily(
            "balance_connections_lost", "Client connections that workers held when they died.", view.board.connections_lost
        )
        yield CounterMetricFamily(
            "balance_dials_failed_here",
            "Connections to backends that could not be made for want of descriptors, ports or memory here.",
            self._totals.cell(counters.DIALS_FAILED_HERE),
        )
        yield CounterMetricFamily(
            "balance_control_restarts", "Times the control process was replaced.", view.board.control_restarts
        )
        yield CounterMetricFamily(
            "balance_log_lines_lost",
            "Access lines dropped because nobody took them.",
            self._totals.cell(counters.LOG_LINES_LOST),
        )
        yield CounterMetricFamily(
            "balance_series_lost",
            "Requests missing from balance_http_requests_total because its table was full.",
            self._totals.cell(counters.SERIES_LOST),
        )
        yield GaugeMetricFamily(
            "balance_config_generation", "The number of the configuration that is served.", view.board.generation
        )
        reloads = CounterMetricFamily(
            "balance_config_reloads", "Reloads; only one that is a success has changed anything.", labels=("result",)
        )
        for result in ReloadResult:
            reloads.add_metric((result.word,), view.board.reloads(result))
        yield reloads
        yield GaugeMetricFamily(
            "balance_config_last_reload_successful",
            "0 while the file was refused when it was last read again, else 1.",
            view.board.last_reload is not ReloadResult.FAILURE,
        )
        build = GaugeMetricFamily("balance_build_info", "Always 1; the labels say what runs.", labels=("version", "python"))
        build.add_metric((VERSION, platform.python_version()), 1)
        yield build

    def _processes(self) -> Iterator[Metric]:
        """The usual process_* names, summed over all processes."""
        used = processes.total(map(processes.usage, self._view.pids()))
        # A dead worker's CPU time leaves the sum, and Prometheus takes a counter that decreases for a restart.
        self._cpu_s = max(self._cpu_s, used.cpu_s)
        yield CounterMetricFamily("process_cpu_seconds", "CPU time of all processes.", self._cpu_s)
        yield GaugeMetricFamily(
            "process_resident_memory_bytes", "Memory of all processes, shared pages counted once.", used.memory_bytes
        )
        yield GaugeMetricFamily("process_virtual_memory_bytes", "Address space of all processes.", used.virtual_bytes)
        yield GaugeMetricFamily("process_open_fds", "File descriptors open in all processes.", used.open_fds)
        yield GaugeMetricFamily(
            "process_max_fds", "File descriptors that each process may open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        yield GaugeMetricFamily(
            "process_start_time_seconds", "When this instance started, since the epoch.", self._view.started_at
        )
