"""The exposition: a board in, the text that Prometheus reads out, parsed back by the client library's own parser."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from asgi_client import ask, ask_bytes
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from balance.admin.access.refusals import AdminRefusal
from balance.admin.application import admin_app
from balance.admin.metrics import families
from balance.admin.metrics.exposition import Exposition
from balance.admin.metrics.families import Scraped
from balance.admin.metrics.families import processes as processes_family
from balance.admin.metrics.formats import Format
from balance.admin.metrics.scrape import Remembered, Scrape
from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import ReloadResult
from balance.config.model import CircuitBreaker, PassiveChecks
from balance.config.route_model import Fault, Mirror, RouteConfig, TrafficPolicy
from balance.health.circuit_breaker import STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState
from balance.health.states import State
from balance.model import Why
from balance.process.shared_memory.board import Board, Ejection
from balance.retry.decision import RetryOutcome
from balance.runtime import counters
from balance.runtime.backend_slots import route_key
from balance.runtime.row import Row

BREAKER_STATES = ("closed", "open", "half-open")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def registry(view: StateView) -> CollectorRegistry:
    metrics = CollectorRegistry(auto_describe=False)
    metrics.register(Scraped(Scrape(view, Remembered())))
    return metrics


def scrape(view: StateView) -> Samples:
    text = generate_latest(registry(view)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def board_of(view: StateView) -> Board:
    assert isinstance(view.board, Board)
    return view.board


def count(board: Board, worker: int) -> None:
    """One request as a worker counts it: GET, 200, by the first backend, 3 ms, 512 bytes out."""
    row = Row(board.rows[worker])
    row.count_request(counters.series_key(1, counters.METHOD_CODES[b"GET"], 200))
    row.observe_time(counters.block(1) + counters.REQUEST_TIME, 3000)
    row.observe_time(counters.block(1) + counters.UPSTREAM_TIME, 2000)
    row.observe_size(counters.RESPONSE_SIZE, 512)
    row.cells[counters.skipped(RetryOutcome.BUDGET)] += 1
    for cell in (
        counters.WHY + Why.OK,
        counters.CONNECTIONS,
        counters.block(1) + counters.LEASES,
        counters.block(1) + counters.RETRIES,
    ):
        row.cells[cell] += 1


def test_workers_are_added_up(view: StateView) -> None:
    for worker in (0, 1, 1):
        count(board_of(view), worker)
    samples = scrape(view)
    labels = {"pool": "app", "backend": "a1"}
    assert value(samples, "balance_http_requests_total", method="GET", status="200", route="", **labels) == 3
    assert value(samples, "balance_backend_requests_total", **labels) == 3
    assert value(samples, "balance_backend_retries_total", **labels) == 3
    assert value(samples, "balance_connections_total") == 3
    assert value(samples, "balance_bytes_total", direction="out") == 3 * 512
    assert value(samples, "balance_requests_ended_total", why="ok") == 3
    assert value(samples, "balance_retries_skipped_total", reason="budget") == 3
    assert value(samples, "balance_retries_skipped_total", reason="method") == 0
    assert value(samples, "balance_http_request_duration_seconds_count", **labels) == 3
    assert value(samples, "balance_http_request_duration_seconds_sum", **labels) == pytest.approx(0.009)
    assert value(samples, "balance_backend_request_duration_seconds_bucket", le="0.0025", **labels) == 3
    assert value(samples, "balance_backend_request_duration_seconds_bucket", le="0.001", **labels) == 0
    assert value(samples, "balance_http_response_size_bytes_bucket", le="1000.0") == 3
    assert value(samples, "balance_http_response_size_bytes_bucket", le="100.0") == 0


def test_no_counter_goes_back_when_a_worker_is_replaced(view: StateView) -> None:
    board = board_of(view)
    for worker in (0, 1):
        count(board, worker)
        board.rows[worker][counters.CONNECTIONS_OPEN] = 4
        board.rows[worker][counters.block(1) + counters.ACTIVE] = 4
    before = scrape(view)
    board.zero_gauges(1)
    board.count_worker_restart()
    after = scrape(view)
    count(board, 1)
    later = scrape(view)
    ends = ("_total", "_bucket", "_count", "_sum")
    names = [key for key in before if key[0].endswith(ends) and not key[0].startswith("process_")]
    assert len(names) > 50
    assert [key for key in names if not before[key] <= after[key] <= later[key]] == []
    assert value(after, "balance_active_connections") == 4
    assert value(after, "balance_backend_connections", pool="app", backend="a1") == 4
    assert (value(before, "balance_worker_restarts_total"), value(after, "balance_worker_restarts_total")) == (0, 1)
    assert (value(before, "balance_workers"), value(after, "balance_workers")) == (2, 1)


def test_health_and_pooled_connections_are_told_per_backend(view: StateView) -> None:
    row = board_of(view).rows[0]
    row[counters.block(1) + counters.OPEN], row[counters.block(1) + counters.IDLE] = 5, 3
    samples = scrape(view)
    healthy = {name: value(samples, "balance_backend_healthy", pool=pool, backend=name) for pool, name in
               (("app", "a1"), ("app", "a2"), ("raw", "r1"))}  # fmt: skip
    assert healthy == {"a1": 1, "a2": 0, "r1": 1}
    assert value(samples, "balance_pool_connections", pool="app", backend="a1", state="idle") == 3
    assert value(samples, "balance_pool_connections", pool="app", backend="a1", state="active") == 2


@pytest.mark.parametrize(
    "name",
    [
        "balance_http_request_size_bytes_count",
        "balance_build_info",
        "balance_event_loop_lag_seconds",
        "balance_active_requests",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ],
)
def test_every_promised_name_is_there_before_any_traffic(view: StateView, name: str) -> None:
    assert name in {name for name, _ in scrape(view)}


def test_requests_that_reached_no_backend_have_empty_labels(view: StateView) -> None:
    Row(board_of(view).rows[0]).count_request(counters.series_key(0, counters.METHOD_OTHER, 503))
    samples = scrape(view)
    assert value(samples, "balance_http_requests_total", method="other", status="503", pool="", backend="", route="") == 1


def test_what_is_counted_of_backends_that_are_gone_stays_their_own_and_stands_there_once(view: StateView) -> None:
    row = Row(board_of(view).rows[0])
    get = counters.METHOD_CODES[b"GET"]
    view.names = {1: ("app", "a1"), 20: ("app", "a1"), 21: ("app", "old"), 22: ("app", "older")}
    for slot in (0, 1, 20, 21, 22, 23, 24):  # 20 is where a1 was at another address; nobody knows of 23 and 24
        row.count_request(counters.series_key(slot, get, 200))
    text = generate_latest(registry(view)).decode()
    lines = [line for line in text.splitlines() if line.startswith("balance_http_requests_total{")]
    found = {labels: value for labels, _, value in (line.rpartition(" ") for line in lines)}
    assert len(found) == len(lines)
    totals = {name: value(scrape(view), "balance_http_requests_total", method="GET", status="200", route="",
                          pool="app" if name else "", backend=name) for name in ("", "a1", "old", "older")}  # fmt: skip
    assert totals == {"": 3, "a1": 2, "old": 1, "older": 1}


def test_the_metrics_are_valid_openmetrics(view: StateView) -> None:
    count(board_of(view), 0)
    families = list(parse_openmetrics(generate_openmetrics(registry(view)).decode()))
    assert "balance_http_requests" in {family.name for family in families}


def test_breakers_and_ejections_are_shown_where_they_are_configured(
    make_view: Callable[..., StateView], view: StateView
) -> None:
    app, *others = view.config.pools
    check = replace(app.health_check, passive=PassiveChecks(enabled=True))
    guarded = make_view(pools=(replace(app, breaker=CircuitBreaker(enabled=True), health_check=check), *others))
    board = board_of(guarded)
    board.evidence(2)[STATE] = BreakerState.OPEN
    board.evidence(2)[UNTIL_US] = 2**62
    board.evidence(2)[TOTAL_OPENINGS] = 4
    board.set_ejection(2, Ejection(1, 0, 7))
    board.rows[0][counters.block(2) + counters.BLAMED] = 5
    board.rows[1][counters.block(2) + counters.BLAMED] = 6
    samples, labels = scrape(guarded), {"pool": "app", "backend": "a2"}
    states = {state: value(samples, "balance_circuit_breaker_state", state=state, **labels) for state in BREAKER_STATES}
    assert states == {"closed": 0, "open": 1, "half-open": 0}
    assert value(samples, "balance_circuit_breaker_state", state="closed", pool="app", backend="a1") == 1
    assert value(samples, "balance_circuit_breaker_failures_total", **labels) == 11
    assert value(samples, "balance_circuit_breaker_opened_total", **labels) == 4
    assert value(samples, "balance_backend_ejections_total", **labels) == 7
    assert not any(name.startswith("balance_circuit") and ("pool", "raw") in key for name, key in samples)


def test_reloads_are_counted_by_how_they_ended(view: StateView) -> None:
    board = board_of(view)
    board.set_generation(3)
    assert value(scrape(view), "balance_config_last_reload_successful") == 1
    for result in (ReloadResult.SUCCESS, ReloadResult.SUCCESS, ReloadResult.UNCHANGED, ReloadResult.FAILURE):
        board.count_reload(result)
    samples = scrape(view)
    assert value(samples, "balance_config_reloads_total", result="unchanged") == 1
    assert value(samples, "balance_config_last_reload_successful") == 0
    board.count_reload(ReloadResult.UNCHANGED)
    assert value(scrape(view), "balance_config_last_reload_successful") == 1
    assert value(samples, "balance_config_generation") == 3
    assert value(samples, "balance_config_reloads_total", result="success") == 2
    assert value(samples, "balance_config_reloads_total", result="failure") == 1


def test_mirrors_and_faults_are_shown_for_the_routes_that_have_them(
    make_view: Callable[..., StateView], view: StateView
) -> None:
    policies = {
        "plain": TrafficPolicy(),
        "copied": TrafficPolicy(mirror=Mirror("app")),
        "tried": TrafficPolicy(fault=Fault(abort_percent=1, until_s=4e9)),
        "over": TrafficPolicy(fault=Fault(abort_percent=1, until_s=600, is_until_relative=True, ends_s=1000)),
    }
    routes = tuple(RouteConfig(name, pool="app", policy=policy) for name, policy in policies.items())
    listener, *others = view.config.listeners
    routed = make_view(listeners=(replace(listener, http=replace(listener.http, routes=routes)), *others))
    slot = 5
    routed = replace(routed, slots={**routed.slots, route_key(listener.name, "copied"): slot})
    for row in board_of(routed).rows:
        row[counters.block(slot) + counters.ROUTE_MIRRORED] = 3
        row[counters.block(slot) + counters.ROUTE_MIRROR_DROPPED] = 1
    samples = scrape(routed)
    rows = len(board_of(routed).rows)
    names = {"listener": listener.name, "route": "copied"}
    assert value(samples, "balance_mirrored_requests_total", **names) == 3 * rows
    assert value(samples, "balance_mirror_dropped_total", **names) == rows
    active = {
        dict(labels)["route"]: number for (name, labels), number in samples.items() if name == "balance_fault_injection_active"
    }
    assert active == {"tried": 1, "over": 0}


@pytest.mark.parametrize(
    ("accept", "coding", "content_type", "encoding"),
    [
        ("", "", "text/plain; version=0.0.4; charset=utf-8", None),
        ("application/openmetrics-text", "gzip", "application/openmetrics-text; version=1.0.0; charset=utf-8", "gzip"),
        ("*/*", "gzip;q=0, br", "text/plain; version=0.0.4; charset=utf-8", None),
        ("*/*", "identity;q=0.5, *", "text/plain; version=0.0.4; charset=utf-8", "gzip"),
        ("application/json", "gzip", "application/json", None),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/prometheus"])
def test_the_reply_is_as_the_client_likes_it(
    view: StateView, path: str, accept: str, coding: str, content_type: str, encoding: str | None
) -> None:
    answer = ask_bytes(admin_app(view, is_local_only=True), path, **{"Accept": accept, "Accept-Encoding": coding})
    assert answer.headers["content-type"] == content_type
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.headers["cache-control"] == "no-store"
    text = (gzip.decompress(answer.body) if encoding else answer.body).decode()
    if content_type == "application/json":
        assert [each["name"] for each in json.loads(text)["backends"]] == ["a1", "a2", "r1"]
    else:
        assert "balance_backend_healthy{" in text
        assert text.endswith("# EOF\n") == ("openmetrics" in content_type)


def test_who_asks_while_a_text_is_written_shares_the_next_one(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Scrape] = []

    def collected(scrape: Scrape) -> Iterator[Metric]:
        written.append(scrape)
        yield from ()

    monkeypatch.setattr(families, "COLLECTORS", (collected,))

    async def scrape_often() -> list[bytes]:
        exposition = Exposition.of(view)
        assert Exposition.of(view) is exposition
        first = asyncio.create_task(exposition.text(Format.TEXT, is_compressed=False))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(exposition.text(Format.TEXT, is_compressed=False)) for _ in range(50)]
        await asyncio.sleep(0)
        others[0].cancel()  # a client that is gone takes nothing from the others
        texts = await asyncio.gather(first, *others[1:])
        return [*texts, await exposition.text(Format.OPENMETRICS, is_compressed=False)]

    assert asyncio.run(scrape_often()) == [b""] * 50 + [b"# EOF\n"]
    assert len(written) == 3


def test_a_scrape_that_fails_is_one_clients_error_and_the_next_one_is_well(
    view: StateView, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [True]

    def collected(scrape: Scrape) -> Iterator[Metric]:
        if failures.pop():
            raise RuntimeError("no")
        yield from ()

    monkeypatch.setattr(families, "COLLECTORS", (collected,))
    exposition = Exposition.of(view)
    with pytest.raises(RuntimeError):
        asyncio.run(exposition.text(Format.TEXT, is_compressed=False))
    failures.append(False)
    assert asyncio.run(exposition.text(Format.TEXT, is_compressed=False)) == b""


def test_cpu_time_never_falls_whoever_tells_it(view: StateView) -> None:
    board, first = board_of(view), Remembered()
    scrape = Scrape(view, first)
    assert [processes_family._cpu_us(scrape, us) for us in (50, 70, 60, 80)] == [50, 70, 70, 80]
    assert board.cpu_told_us == 80
    successor = Scrape(view, Remembered())  # another control process, of another instance after an upgrade
    assert [processes_family._cpu_us(successor, us) for us in (5, 15, 10)] == [80, 90, 90]
    third = Scrape(view, Remembered())  # control was replaced; the same processes are counted
    assert processes_family._cpu_us(third, 100) == 100


def test_labels_that_clients_choose_are_bounded_and_what_does_not_fit_is_told(view: StateView) -> None:
    board = board_of(view)
    row = Row(board.rows[0])
    for method in (b"GET", b"BREW", b"X" * 2000, b"get", b'"}\n', b"PROPFIND"):
        row.count_exchange(1, counters.NO_ROUTE, method, 200, Why.OK, 1, 1, 1, 1, 0)
    samples = scrape(view)
    methods = {dict(labels)["method"] for name, labels in samples if name == "balance_http_requests_total"}
    assert methods == {"GET", "other"}
    pairs = len(counters.series_pairs(board.rows[0]))
    for number in range(pairs + 100):
        row.count_exchange(1 + number % 2, counters.NO_ROUTE, b"POST", 100 + number // 2 % 900, Why.OK, 1, 1, 1, 1, 0)
        row.count_exchange(0, counters.NO_ROUTE, b"PUT", 100 + number // 2 % 900, Why.OK, 1, -1, 1, 1, 0)
    samples = scrape(view)
    counted = sum(number for (name, _), number in samples.items() if name == "balance_http_requests_total")
    lost = value(samples, "balance_series_lost_total")
    assert lost > 0
    assert counted + lost == value(samples, "balance_http_request_duration_seconds_count", pool="", backend="") + sum(
        value(samples, "balance_http_request_duration_seconds_count", pool="app", backend=name) for name in ("a1", "a2")
    )


def test_what_is_known_is_at_nothing_from_the_start(view: StateView) -> None:
    samples = scrape(view)
    for name, label, words in (
        ("balance_requests_ended_total", "why", [why.word for why in Why]),
        ("balance_config_reloads_total", "result", [result.word for result in ReloadResult]),
        ("balance_admin_refused_total", "reason", [reason.word for reason in AdminRefusal]),
    ):
        assert [value(samples, name, **{label: word}) for word in words] == [0] * len(words)
    for pool in ("app", "raw", ""):
        for word in ("1xx", "2xx", "3xx", "4xx", "5xx"):
            assert samples["balance_pool_responses_total", (("class", word), ("pool", pool))] == 0
    for pool, backend in (("app", "a1"), ("app", "a2"), ("raw", "r1")):
        assert value(samples, "balance_backend_requests_total", pool=pool, backend=backend) == 0
    assert not [key for key in samples if key[0] == "balance_http_requests_total"]


def test_operators_and_limits_are_told(make_view: Callable[..., StateView], view: StateView) -> None:
    app, *others = view.config.pools
    limited = replace(app, backends=tuple(replace(each, max_connections=4) for each in app.backends))
    busy = make_view(pools=(limited, *others))
    board = board_of(busy)
    board.set_state(2, State.DRAINING, 1.0)
    board.rows[0][counters.block(1) + counters.ACTIVE] = 3
    for backend, requests in ((1, 30), (2, 0)):
        board.rows[1][counters.block(backend) + counters.LEASES] = requests
    samples = scrape(busy)
    by_order = [value(samples, "balance_backend_out_by_order", pool="app", backend=name) for name in ("a1", "a2")]
    assert by_order == [0, 1]
    assert value(samples, "balance_backend_utilization", pool="app", backend="a1") == 0.75
    assert ("balance_backend_utilization", (("backend", "r1"), ("pool", "raw"))) not in samples
    assert value(samples, "balance_load_fairness", pool="app") == 1.0  # of those that are ready
    board.set_state(2, State.HEALTHY, 1.0)
    assert value(scrape(busy), "balance_load_fairness", pool="app") == 0.5
    board.rows[1][counters.block(2) + counters.LEASES] = 60  # twice the weight
    assert value(scrape(busy), "balance_load_fairness", pool="app") == 1.0
    assert value(samples, "balance_clients_limit") > 0
    assert value(samples, "balance_memory_limit_bytes") > 1_000_000
    capped = make_view(listeners=tuple(replace(each, max_clients=7) for each in busy.config.listeners))
    assert value(scrape(capped), "balance_clients_limit") == 7 * len(busy.config.listeners)


@pytest.mark.parametrize(
    ("query", "families"),
    [
        ("?name[]=balance_connections_total", {"balance_connections_total"}),
        ("?name[]=balance_connections&name[]=balance_workers", {"balance_connections_total", "balance_workers"}),
        ("?name%5B%5D=balance_http_response_size_bytes_bucket", {"balance_http_response_size_bytes"}),
        ("?name[]=balance_con", set()),
        ("?name[]=" + "x" * 10_000, set()),
    ],
)
def test_who_wants_some_metrics_alone_names_them(view: StateView, query: str, families: set[str]) -> None:
    text = ask(admin_app(view, is_local_only=True), "/metrics" + query).text
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == families


def test_each_family_stands_there_once_and_in_one_piece(view: StateView) -> None:
    lines = ask(admin_app(view, is_local_only=True), "/metrics").text.splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    samples = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples))


def test_a_backend_that_is_gone_has_no_state_any_more(view: StateView) -> None:
    app, *others = view.config.pools
    changed = replace(view, config=replace(view.config, pools=(replace(app, backends=app.backends[:1]), *others)))
    changed.names = {slot: name for name, slot in view.slots.items()}
    for name in ("balance_backend_healthy", "balance_backend_requests_total", "balance_pool_connections"):
        assert {dict(labels)["backend"] for each, labels in scrape(changed) if each == name} == {"a1", "r1"}
