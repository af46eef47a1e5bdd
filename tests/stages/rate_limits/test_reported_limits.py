"""What hurt users of other proxies' rate limits, each tried here; and a million keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from contexts import request_context
from limiters import Clock

from balance.config.common_model import RateLimit
from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.http1.head import RequestFields
from balance.rate_limiting.bucket_table import BucketTable
from balance.stages.environment import StageEnvironment
from balance.stages.rate_limits.rate_limit_stage import RateLimitStage, rate_limit_stage
from balance.stages.request_context import RequestContext

WINDOW = RateLimit(enabled=True, type="sliding-window", window_s=10.0, max_requests=20)


def limited(config: RateLimit) -> tuple[RateLimitStage, Clock]:
    clock, table = Clock(), BucketTable.of_one_worker()
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, clock=clock, buckets=lambda: table)
    made = rate_limit_stage(RouteConfig("r", pool="web", rate_limit=config), environment)
    assert made is not None
    return made, clock


def request(client: str = "192.0.2.1", target: bytes = b"/", fields: bytes = b"") -> RequestContext:
    return request_context(target, b"Host: a\r\n" + fields, client=client)


def admitted(stage: RateLimitStage, times: int, *given: str | bytes) -> int:
    return sum(stage.on_request(request(*given)) is None for _ in range(times))  # type: ignore[arg-type]


def test_a_long_path_does_not_push_the_address_out_of_the_key() -> None:
    """HAProxy 1790: of a combination that was cut to the length of the table's keys, the path alone was left."""
    stage, _ = limited(RateLimit(enabled=True, key=("path", "client-ip"), requests_per_second=0.001, burst=2))
    path = b"/" + b"a" * 500
    assert [admitted(stage, 5, "192.0.2.1", path), admitted(stage, 5, "192.0.2.2", path)] == [2, 2]
    assert admitted(stage, 5, "192.0.2.1", path + b"b") == 2


@pytest.mark.parametrize(
    "config", [WINDOW, RateLimit(enabled=True, requests_per_second=2.0, burst=5)], ids=["window", "bucket"]
)
def test_who_stays_below_the_rate_is_never_refused_however_long(config: RateLimit) -> None:
    """HAProxy 1224 and 1196: all requests of a connection's life were counted, or counts never went down again."""
    stage, clock = limited(config)
    for _ in range(500):
        assert admitted(stage, 1) == 1
        clock.now += 1.0


def test_a_key_that_changes_from_request_to_request_is_each_time_the_one_that_came() -> None:
    """HAProxy 2425: counters were bound to a connection's first request. Traefik 6687: a field was ignored for the address."""
    stage, _ = limited(RateLimit(enabled=True, key=("header:X-Key",), requests_per_second=0.001, burst=1))
    assert [admitted(stage, 2, "192.0.2.1", b"/", b"X-Key: %d\r\n" % number) for number in range(5)] == [1] * 5
    assert [admitted(stage, 2, "192.0.2.9", b"/", b"X-Key: %d\r\n" % number) for number in range(5)] == [0] * 5


def test_one_clients_flood_leaves_the_others_their_own() -> None:
    """Traefik 7129 and 8052: others were refused too, and with excluded addresses all others shared one bucket."""
    stage, _ = limited(RateLimit(enabled=True, requests_per_second=0.001, burst=3, allowlist=("198.51.100.0/24",)))
    assert admitted(stage, 2000, "192.0.2.1") == 3
    assert admitted(stage, 9, "192.0.2.2") == 3
    assert admitted(stage, 9, "198.51.100.7") == 9


def test_who_moves_about_in_his_ipv6_network_is_one_client() -> None:
    """Caddy's rate limits by whole addresses were got around so (caddy-ext 4)."""
    stage, _ = limited(RateLimit(enabled=True, requests_per_second=0.001, burst=3))
    assert sum(admitted(stage, 1, f"2001:db8::{number:x}") for number in range(100)) == 3


@pytest.mark.parametrize(("rate", "burst"), [(0.0001, 1_000_000), (1e6, 1_000_000), (0.0001, 1), (1e6, 1)])
def test_the_longest_and_shortest_limits_say_what_can_be_read(rate: float, burst: int) -> None:
    """Traefik 8235: how long a bucket lives did not fit its number, and every request failed."""
    stage, clock = limited(RateLimit(enabled=True, requests_per_second=rate, burst=burst))
    context = request()
    assert stage.on_request(context) is None
    values = [line.rpartition(b": ")[2] for line in context.reply_lines.split(b"\r\n") if b"X-RateLimit" in line]
    assert all(value.isdigit() for value in values)
    clock.now += 1e9
    assert admitted(stage, 1) == 1


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_million_keys_take_no_more_memory_than_the_table() -> None:
    stages = [
        limited(RateLimit(enabled=True, key=("header:X-Key",), requests_per_second=0.001, burst=2))[0],
        limited(RateLimit(enabled=True, type="sliding-window", key=("path",), window_s=3600.0, max_requests=2))[0],
    ]

    by_field, by_path = request(), request()

    def flood(first: int, count: int) -> None:
        for number in range(first, first + count):
            fields = by_field.fields = RequestFields()
            fields.forward = b"Host: a\r\nX-Key: %d\r\n" % number
            by_path.path = b"/%d" % number
            for stage, context in zip(stages, (by_field, by_path), strict=True):
                context.reply_lines = b""
                stage.on_request(context)

    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    flood(0, 100_000)
    before = resident_mb()
    flood(100_000, 400_000)  # in each of the two
    assert resident_mb() - before < 90  # two tables of 33 MB each, of which the first flood had touched a part
    before = resident_mb()
    flood(500_000, 30_000)
    assert resident_mb() - before < 8
    assert stages[0].on_request(request("192.0.2.1", b"/", b"X-Key: new\r\n")) is None
