"""Injected faults: how many, for whom, how long, and how many may wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from balance.config.model import HttpConfig
from balance.config.route_model import Fault, RouteConfig, TrafficPolicy, ValueMatch
from balance.http1.request import RequestReader
from balance.model import Why
from balance.stages.environment import Moment, StageEnvironment
from balance.stages.fault import MAX_HELD, FaultInjection, fault_stage
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Wait

LOADED = Moment(epoch_s=1_000_000.0, monotonic_s=50.0)
FOREVER = 2_000_000.0
READER = RequestReader(HttpConfig())


def stage(fault: Fault) -> FaultInjection | None:
    route = RouteConfig("r", pool="web", policy=TrafficPolicy(fault=fault))
    return fault_stage(route, StageEnvironment("main", HttpConfig(), (route,), lambda: 0.0, made=LOADED))


def request(*draws: float, now: float = 50.0, fields: bytes = b"", is_trusted: bool = False) -> RequestContext:
    head = READER.read(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    context = RequestContext()
    context.fields, context.target = head.fields, b"/"
    context.forward = head.fields.forward
    context.is_trusted = is_trusted
    context.now = now
    left: Iterator[float] = iter(draws)
    context.rand = lambda: next(left)
    return context


def outcome(fault: Fault, context: RequestContext) -> str:
    made = stage(fault)
    answer = made.on_request(context) if made is not None else None
    if isinstance(answer, Wait):
        return "delay" if answer.at_timeout is None else "delay, then abort"
    return "abort" if isinstance(answer, Reply) else "none"


BOTH = Fault(abort_percent=10, delay_percent=20, delay_s=2.0, until_s=FOREVER)


@pytest.mark.parametrize(
    ("fault", "draws", "expected"),
    [
        (Fault(abort_percent=10, until_s=FOREVER), [0.0999], "abort"),
        (Fault(abort_percent=10, until_s=FOREVER), [0.1], "none"),
        (Fault(abort_percent=0.5, until_s=FOREVER), [0.0049], "abort"),
        (Fault(abort_percent=100, until_s=FOREVER), [0.9999], "abort"),
        (Fault(delay_percent=20, delay_s=1, until_s=FOREVER), [0.5, 0.19], "delay"),
        (Fault(delay_percent=20, delay_s=1, until_s=FOREVER), [0.5, 0.2], "none"),
        (BOTH, [0.05, 0.1], "delay, then abort"),
        (BOTH, [0.05, 0.5], "abort"),
        (BOTH, [0.5, 0.1], "delay"),
        (BOTH, [0.5, 0.5], "none"),
    ],
)
def test_as_many_requests_as_is_said(fault: Fault, draws: list[float], expected: str) -> None:
    context = request(*draws)
    assert outcome(fault, context) == expected
    assert context.rule == ("" if expected == "none" else "fault")


def test_the_reply_is_the_configured_status_and_says_that_it_is_injected() -> None:
    made = stage(Fault(abort_percent=100, abort_status=429, until_s=FOREVER))
    assert made is not None
    answer = made.on_request(request(0.0))
    assert isinstance(answer, Reply)
    assert (answer.status, answer.why) == (429, Why.FAULT_INJECTED)


@pytest.mark.parametrize(
    ("fields", "is_trusted", "expected"),
    [
        (b"X-Fault: yes\r\n", True, "abort"),
        (b"X-Fault: yes\r\n", False, "none"),
        (b"X-Fault: no\r\n", True, "none"),
        (b"", True, "none"),
        (b"X-Fault: yes\r\nConnection: X-Fault\r\n", True, "none"),
    ],
)
def test_a_field_causes_faults_for_trusted_proxies_only(fields: bytes, is_trusted: bool, expected: str) -> None:
    fault = Fault(abort_percent=100, header=ValueMatch("x-fault", value="yes"), until_s=FOREVER)
    context = request(0.0, fields=fields, is_trusted=is_trusted)
    assert outcome(fault, context) == expected
    assert (b"X-Fault:" in context.forward) is (is_trusted and b"X-Fault:" in fields and b"Connection" not in fields)


@pytest.mark.parametrize(
    ("fault", "last", "over"),
    [
        (Fault(abort_percent=100, until_s=LOADED.epoch_s + 600), 649.0, 650.0),
        (Fault(abort_percent=100, until_s=600, is_until_relative=True), 649.0, 650.0),
        (Fault(abort_percent=100, until_s=600, is_until_relative=True, ends_s=LOADED.epoch_s + 100), 149.0, 150.0),
    ],
)
def test_it_ends_by_itself(fault: Fault, last: float, over: float) -> None:
    assert outcome(fault, request(0.0, now=last)) == "abort"
    assert outcome(fault, request(0.0, now=over)) == "none"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(abort_percent=100, until_s=LOADED.epoch_s - 1),
        Fault(until_s=FOREVER),
        Fault(delay_percent=50, until_s=FOREVER),
    ],
)
def test_a_route_whose_faults_are_over_or_none_pays_nothing(fault: Fault) -> None:
    assert stage(fault) is None


def test_so_many_wait_at_most_and_room_comes_back_with_time() -> None:
    made = stage(Fault(delay_percent=100, delay_s=5.0, until_s=FOREVER))
    assert made is not None
    answers = Counter(type(made.on_request(request(0.9, 0.0, now=100.0 + number / 1000))) for number in range(MAX_HELD + 3))
    assert answers == {Wait: MAX_HELD, type(None): 3}
    assert isinstance(made.on_request(request(0.9, 0.0, now=105.0)), Wait)
    assert made.on_request(request(0.9, 0.0, now=105.0)) is None
