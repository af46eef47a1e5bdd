"""`metrics.buckets`, `metrics.backend_histograms` and `metrics.aliases`: from the file to the scrape."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from balance.admin.metrics.families import Scraped
from balance.admin.metrics.scrape import Remembered, Scrape
from balance.admin.metrics.text import as_text
from balance.admin.state_view import StateView
from balance.config import load_text
from balance.config.model import MAX_TIME_BUCKETS, TIME_BUCKETS_S, Config
from balance.errors import ConfigError
from balance.health.states import State
from balance.model import Address
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots

FILE = """\
pools:
  app: {backends: [{name: a, address: "127.0.0.1:1"}, {name: b, address: "127.0.0.1:2"}]}
  api: {backends: [{name: a, address: "127.0.0.1:3"}]}
listeners: [{name: web, mode: http, listen: "127.0.0.1:80", pool: app}]
"""
TIME = "balance_http_request_duration_seconds"
UPSTREAM = "balance_backend_request_duration_seconds"
Samples = dict[str, dict[tuple[str, ...], float]]


class Served:
    """A configuration, and what workers have counted."""

    def __init__(self, metrics: str = "{}", file: str = FILE) -> None:
        self.config: Config = load_text(f"{file}metrics: {metrics}\n", "f.yaml", {}).config
        slots = backend_slots(self.config)
        self.board = Board(2, len(slots) + 1, max_slots=max(64, len(slots) + 1))
        self.board.set_time_buckets(self.config.metrics.time_buckets_us)
        self.view = StateView(
            self.config, slots, self.board, 0, 0, 1.0, [("web", Address("127.0.0.1", 80))],
            lambda slot: None, lambda slot, event, reason: State.UNKNOWN,
        )  # fmt: skip
        self.rows = [Row(row, self.board.time_buckets_us) for row in self.board.rows]
        self.remembered = Remembered()

    def request(self, backend: tuple[str, str] | None, status: int, ms: float, worker: int = 0) -> None:
        slot = self.view.slots[backend] if backend else 0
        us = int(ms * 1000)
        upstream_us = us if backend else -1
        self.rows[worker].count_exchange(slot, counters.NO_ROUTE, b"GET", status, 0, us, upstream_us, 100, 1000, 0)
        self.rows[worker].cells[counters.block(slot) + counters.LEASES] += 1

    def scrape(self) -> Samples:
        """By name, and the values of the labels in the order of their names."""
        found: Samples = {}
        text = as_text(Scraped(Scrape(self.view, self.remembered)).collect(), is_openmetrics=False).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found


def test_buckets_are_those_of_the_file() -> None:
    served = Served("{buckets: [0.002, 2]}")
    for ms in (1, 2, 3, 2000, 2001):
        served.request(("app", "a"), 200, ms)
    samples = served.scrape()
    for name in (TIME, UPSTREAM):
        found = {le: count for (backend, le, _), count in samples[f"{name}_bucket"].items() if backend == "a" and count}
        assert found == {"0.002": 2, "2.0": 4, "+Inf": 5}
        assert samples[f"{name}_sum"]["a", "app"] == pytest.approx(4.007)
        assert samples[f"{name}_count"]["a", "app"] == 5


def test_the_default_is_what_it_always_was() -> None:
    assert Served().board.time_buckets_us == counters.TIME_BUCKETS_US
    assert tuple(round(bound * 1e6) for bound in TIME_BUCKETS_S) == counters.TIME_BUCKETS_US
    assert Served("{buckets: [1ms, 0.25, 1, 1m]}").config.metrics.buckets == (0.001, 0.25, 1.0, 60.0)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("{buckets: []}", "0 bounds, and there have to be 1 to 14"),
        (f"{{buckets: {list(range(1, MAX_TIME_BUCKETS + 2))}}}", "15 bounds, and there have to be 1 to 14"),
        ("{buckets: [1, 1]}", "1 is not above the bound before it, 1; bounds have to rise"),
        ("{buckets: [2, 0.5]}", "0.5 is not above the bound before it, 2; bounds have to rise"),
        ("{buckets: [0]}", "0 is not in 10 us..86400 s"),
        ("{buckets: [.nan]}", "'.nan' is no bound of a bucket"),
        ("{buckets: [.inf]}", "'.inf' is no bound of a bucket"),
        ("{buckets: [-1]}", "-1 is no bound of a bucket: seconds like 0.25, or a duration like 250ms"),
        ("{buckets: [fast]}", "'fast' is no bound of a bucket"),
        ("{buckets: [true]}", "true is no bound of a bucket"),
        ("{aliases: [nginx]}", "'nginx' is none of the names that metrics may go by as well: loadbalancer, go_balancer"),
        ("{aliases: [1]}", "1 is none of the names"),
        ("{backend_histograms: some}", "'some' is not one of auto, backend, pool, off"),
    ],
)
def test_what_is_refused_is_one_line_with_its_place(metrics: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Served(metrics)
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == 1
    assert message in problems[0]
    assert problems[0].startswith("f.yaml:5:")


@pytest.mark.parametrize(
    ("chosen", "labelled", "upstream"),
    [
        ("auto", {("", ""), ("a", "app"), ("b", "app"), ("a", "api")}, {("a", "app"), ("b", "app"), ("a", "api")}),
        ("backend", {("", ""), ("a", "app"), ("b", "app"), ("a", "api")}, {("a", "app"), ("b", "app"), ("a", "api")}),
        ("pool", {("", ""), ("", "app"), ("", "api")}, {("", "app"), ("", "api")}),
        ("off", {("", "")}, set()),
    ],
)
def test_histograms_are_per_backend_per_pool_or_one_for_all(chosen: str, labelled: Any, upstream: Any) -> None:
    served = Served(f"{{backend_histograms: {chosen}}}")
    for backend, times in ((None, 1), (("app", "a"), 2), (("app", "b"), 4), (("api", "a"), 8)):
        for _ in range(times):
            served.request(backend, 200, 3, worker=times % 2)
    samples = served.scrape()
    assert set(samples[f"{TIME}_count"]) == labelled
    assert set(samples.get(f"{UPSTREAM}_count", {})) == upstream
    assert sum(samples[f"{TIME}_count"].values()) == 15
    assert sum(samples.get(f"{UPSTREAM}_count", {}).values()) == (14 if upstream else 0)
    if chosen == "pool":
        assert samples[f"{TIME}_count"]["", "app"] == 6


def test_auto_is_per_pool_above_two_hundred_backends() -> None:
    for count, expected in ((200, {"backend": 200, "pool": 0}), (201, {"backend": 0, "pool": 1})):
        backends = "".join(f"{{name: b{number}, address: '127.0.0.1:{number + 1}'}}, " for number in range(count))
        text = f"pools: {{app: {{backends: [{backends}]}}}}\nlisteners: [{{mode: http, listen: ':999', pool: app}}]\n"
        found = Served(file=text).scrape()[f"{UPSTREAM}_count"]
        assert len([labels for labels in found if labels[0]]) == expected["backend"]
        assert len([labels for labels in found if labels == ("", "app")]) == expected["pool"]
        assert len(Served(file=text).scrape()["balance_backend_requests_total"]) == count


def test_a_pools_histogram_does_not_fall_when_a_backend_that_is_gone_loses_its_slot() -> None:
    served = Served("{backend_histograms: pool}")
    gone = served.view.slots["app", "b"]
    served.view.names = {slot: name for name, slot in served.view.slots.items()}
    for backend in (("app", "a"), ("app", "b"), ("app", "b")):
        served.request(backend, 503, 3)
    before = served.scrape()
    served.board.clear_slots([gone])
    after = served.scrape()
    served.request(("app", "a"), 200, 3)
    later = served.scrape()
    for name in (f"{TIME}_count", f"{TIME}_sum", f"{TIME}_bucket", f"{UPSTREAM}_count", "balance_pool_responses_total"):
        assert after[name] == before[name], name
        assert all(later[name][labels] >= value for labels, value in before[name].items()), name
    assert later[f"{TIME}_count"]["", "app"] == 4
    assert later["balance_pool_responses_total"]["5xx", "app"] == 3


def test_aliases_have_the_values_of_their_sources() -> None:
    served = Served("{aliases: [loadbalancer, go_balancer]}")
    for backend, status in ((("app", "a"), 200), (("app", "b"), 404), (("api", "a"), 502), (("api", "a"), 302), (None, 503)):
        served.request(backend, status, 3)
    served.rows[1].cells[counters.block(served.view.slots["app", "b"]) + counters.ACTIVE] = 3
    served.rows[1].cells[counters.block(served.view.slots["app", "b"]) + counters.FAILURES] = 2
    served.board.set_state(served.view.slots["app", "b"], State.UNHEALTHY, 1.0)
    samples = served.scrape()
    assert samples["loadbalancer_requests_total"] == {
        ("app/a", "200"): 1, ("b", "404"): 1, ("api/a", "502"): 1, ("api/a", "302"): 1, ("", "503"): 1,
    }  # fmt: skip
    assert samples["loadbalancer_z_backend_connections"] == {("app/a",): 0, ("b",): 3, ("api/a",): 0}
    assert samples["loadbalancer_z_request_duration_seconds_count"] == {(): 5}
    assert samples["loadbalancer_z_request_duration_seconds_count"][()] == sum(samples[f"{TIME}_count"].values())
    assert samples["go_balancer_requests_total"] == {(): 5}
    assert samples["go_balancer_requests_total"][()] == sum(samples["balance_http_requests_total"].values())
    assert samples["go_balancer_requests_success_total"] == {(): 3}
    assert samples["go_balancer_requests_failed_total"] == {(): 2}
    assert samples["go_balancer_backend_requests_total"] == {("app/a",): 1, ("b",): 1, ("api/a",): 2}
    assert samples["go_balancer_backend_failures_total"] == {("app/a",): 0, ("b",): 2, ("api/a",): 0}
    assert samples["go_balancer_backend_healthy"] == {("healthy",): 2, ("unhealthy",): 1}
    alone = set(Served("{aliases: loadbalancer}").scrape())
    assert "loadbalancer_z_backend_connections" in alone
    assert not [name for name in alone if name.startswith("go_balancer")]
    assert not [name for name in Served().scrape() if not name.startswith(("balance_", "process_"))]


def test_counters_of_a_backend_do_not_fall_or_jump_when_its_address_changes_and_changes_back() -> None:
    served = Served()
    first = served.view.slots["app", "a"]
    for _ in range(5):
        served.request(("app", "a"), 200, 3)
    seen = [served.scrape()]
    other = 20
    served.view.names = {slot: name for name, slot in served.view.slots.items()} | {other: ("app", "a")}
    served.board.use_slots(other + 1)
    served.view.slots = {**served.view.slots, ("app", "a"): other}
    seen.append(served.scrape())
    served.request(("app", "a"), 200, 3)
    seen.append(served.scrape())
    served.view.slots = {**served.view.slots, ("app", "a"): first}
    seen.append(served.scrape())
    served.board.clear_slots([other])  # another backend gets it
    served.view.names = {slot: name for slot, name in served.view.names.items() if slot != other}
    seen.append(served.scrape())
    served.request(("app", "a"), 200, 3)
    seen.append(served.scrape())
    for name in ("balance_backend_requests_total", f"{TIME}_count", f"{UPSTREAM}_count"):
        assert [samples[name]["a", "app"] for samples in seen] == [5, 5, 6, 6, 6, 7], name
