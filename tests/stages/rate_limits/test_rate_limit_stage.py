"""The rate limit of a route: whom it counts together, what it answers, what it tells clients, and who escapes: nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from contexts import request_context
from limiters import Clock

from balance.config.common_model import RateLimit
from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.rate_limiting.bucket_table import BucketTable
from balance.rate_limiting.moved_keys import MAX_MOVED, MovedKeys
from balance.stages.environment import StageEnvironment
from balance.stages.rate_limits.rate_limit_stage import RateLimitStage, rate_limit_stage
from balance.stages.request_context import RequestContext
from balance.stages.security.identity import Identity
from balance.stages.stage import Reply

TWO = RateLimit(enabled=True, requests_per_second=0.5, burst=2)


class Limited:
    """A stage on a clock that stands still; `counted` has what was refused (True) and reported (False)."""

    def __init__(
        self, config: RateLimit, table: BucketTable | None = None, route: str = "r", moved: MovedKeys | None = None
    ) -> None:
        self.clock = Clock()
        self.counted: Counter[bool] = Counter()
        self.table = table or BucketTable.of_one_worker()
        made = rate_limit_stage(
            RouteConfig(route, pool="web", rate_limit=config),
            StageEnvironment(
                "main", HttpConfig(), (), lambda: 0.0, clock=self.clock, buckets=lambda: self.table, moved=moved,
                limited=lambda name: lambda is_refused: self.counted.update([is_refused]),
            ),
        )  # fmt: skip
        assert isinstance(made, RateLimitStage)
        self.stage = made

    def admits(self, context: RequestContext) -> bool:
        answer = self.stage.on_request(context)
        if answer is None:
            return True
        assert isinstance(answer, Reply)
        assert (answer.status, answer.why) == (429, Why.RATE_LIMITED)
        return False

    def admitted(self, *contexts: RequestContext) -> int:
        return sum(self.admits(context) for context in contexts)


def request(client: str = "192.0.2.1", target: bytes = b"/", *fields: bytes, route: str = "r") -> RequestContext:
    lines = b"".join(field + b"\r\n" for field in (b"Host: shop.example", *fields))
    return request_context(target, lines, client=client, route=route)


def said(claim: str, client: str = "192.0.2.1", target: bytes = b"/") -> RequestContext:
    """A request whose token was verified and says this of its `sub`."""
    context = request(client, target)
    context.identity = Identity(claim, {"sub": claim.encode()})
    return context


def test_there_is_none_unless_enabled() -> None:
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)
    assert rate_limit_stage(RouteConfig("r", rate_limit=replace(TWO, enabled=False)), environment) is None
    assert rate_limit_stage(RouteConfig("r", rate_limit=TWO), environment) is not None


ONE = (b"X-Key: 1",)
TOGETHER = [
    (("client-ip",), request("192.0.2.1"), request("192.0.2.1", b"/other", b"X-Forwarded-For: 9.9.9.9"), True),
    (("client-ip",), request("192.0.2.1"), request("192.0.2.2"), False),
    (("client-ip",), request("192.0.2.1"), request("::ffff:192.0.2.1"), True),
    (("client-ip",), request("2001:db8::1"), request("2001:db8::ffff:2"), True),  # one /64
    (("client-ip",), request("2001:db8:0:1::1"), request("2001:db8:0:2::1"), False),
    (("client-ip",), request(""), request(""), True),  # a Unix socket
    (("header:X-Key",), request("192.0.2.1", b"/", *ONE), request("192.0.2.2", b"/", b"x-key: 1"), True),
    (("header:X-Key",), request("192.0.2.1", b"/", *ONE), request("192.0.2.1", b"/", b"X-Key: 2"), False),
    (("header:X-Key",), request("192.0.2.1", b"/", *ONE), request("192.0.2.1", b"/", b"X-Key: 1", b"X-Key: 2"), True),
    (("header:X-Key",), request("192.0.2.1"), request("192.0.2.1", b"/", b"X-Key:"), True),  # none: by address
    (("header:X-Key",), request("192.0.2.1"), request("192.0.2.2"), False),
    (("header:X-Key",), request("1.2.3.4"), request("9.9.9.9", b"/", b"X-Key: \x01\x02\x03\x04"), False),
    (("cookie:id",), request("192.0.2.1", b"/", b"Cookie: a=b; id=1"), request("192.0.2.2", b"/", b"Cookie: id=1"), True),
    (("query:user",), request("192.0.2.1", b"/?user=1"), request("192.0.2.2", b"/x?a=b&user=1"), True),
    (("query:user",), request("192.0.2.1", b"/?user=1"), request("192.0.2.1", b"/?user=2"), False),
    (("query:user",), request("1.2.3.4", b"/"), request("9.9.9.9", b"/?user=%01%02%03%04"), False),
    (("path",), request("192.0.2.1", b"/a"), request("192.0.2.2", b"/a?b"), True),
    (("path",), request("192.0.2.1", b"/a"), request("192.0.2.1", b"/b"), False),
    (("path",), request("192.0.2.1", b"/a"), request("192.0.2.1", b"//b/..//%61"), True),
    (("route",), request("192.0.2.1", b"/a"), request("192.0.2.2", b"/b"), True),
    (("client-ip", "route"), request("192.0.2.1"), request("192.0.2.1", route="s"), False),
    (("client-ip", "path"), request("192.0.2.1", b"/a"), request("192.0.2.1", b"/a"), True),
    (("client-ip", "path"), request("192.0.2.1", b"/a"), request("192.0.2.2", b"/a"), False),
    (("client-ip", "path"), request("192.0.2.1", b"/a"), request("192.0.2.1", b"/b"), False),
    (("jwt:sub",), said("ada", "192.0.2.1"), said("ada", "192.0.2.2"), True),
    (("jwt:sub",), said("ada"), said("bob"), False),
    (("jwt:sub",), said(""), request("192.0.2.1"), True),  # a claim that is not there: by address
    (("jwt:sub",), said("", "192.0.2.1"), said("", "192.0.2.2"), False),
    (("jwt:sub",), said("\x01\x02\x03\x04", "9.9.9.9"), request("1.2.3.4"), False),
    (("path", "jwt:sub"), said("ada", target=b"/a"), said("ada", target=b"/b"), False),
    (("path", "jwt:sub"), said("ada", target=b"/a"), said("ada", "192.0.2.9", b"/a"), True),
    (("header:A", "header:B"), request("1.1.1.1", b"/", b"A: xy", b"B: z"), request("1.1.1.1", b"/", b"A: x", b"B: yz"), False),
    (("header:A", "header:B"), request("1.1.1.1", b"/", b"A: x"), request("1.1.1.1", b"/", b"B: x"), False),
]  # fmt: skip


@pytest.mark.parametrize(("key", "one", "other", "is_together"), TOGETHER)
def test_it_counts_together_what_has_the_same_key(
    key: tuple[str, ...], one: RequestContext, other: RequestContext, is_together: bool
) -> None:
    limited = Limited(replace(TWO, key=key))
    assert limited.admitted(one, one, one) == 2
    assert limited.admitted(other) == (0 if is_together else 1)


def test_a_bucket_has_its_burst_and_its_rate() -> None:
    limited = Limited(TWO)
    assert limited.admitted(*[request()] * 5) == 2
    limited.clock.now += 2.0
    assert limited.admitted(*[request()] * 5) == 1
    assert limited.counted == {True: 7}


@pytest.mark.parametrize(("rate", "burst"), [(20.0, 20), (0.5, 1), (1.5, 2)])
def test_the_burst_is_what_comes_in_a_second_where_it_is_not_given(rate: float, burst: int) -> None:
    assert Limited(RateLimit(enabled=True, requests_per_second=rate)).admitted(*[request()] * 50) == burst


def test_a_window_has_no_more_than_it_says() -> None:
    limited = Limited(RateLimit(enabled=True, type="sliding-window", window_s=30.0, max_requests=3))
    assert limited.admitted(*[request()] * 5) == 3
    limited.clock.now += 29.0
    assert limited.admitted(request()) == 0
    limited.clock.now += 5.0
    assert limited.admitted(*[request()] * 5) == 3


def test_what_is_left_is_told_to_all_and_when_to_come_again_to_who_is_refused() -> None:
    limited = Limited(TWO)
    told = []
    for _ in range(3):
        context = request()
        limited.admits(context)
        told.append(context.reply_lines)
    assert told[0].split(b"\r\n") == [
        b'RateLimit-Policy: "default";q=2;w=4',
        b"X-RateLimit-Limit: 2",
        b'RateLimit: "default";r=1;t=2',
        b"X-RateLimit-Remaining: 1",
        b"X-RateLimit-Reset: 2",
        b"",
    ]
    assert b'RateLimit: "default";r=0;t=4' in told[1]
    assert b"Retry-After" not in told[1]
    assert told[2] == told[1] + b"Retry-After: 2\r\n"


def test_who_comes_when_he_was_told_to_is_admitted() -> None:
    for config in (TWO, RateLimit(enabled=True, type="sliding-window", max_requests=2, window_s=7.3)):
        limited = Limited(config)
        limited.admitted(request(), request())
        limited.clock.now += 0.3
        context = request()
        assert not limited.admits(context)
        limited.clock.now += int(context.reply_lines.rpartition(b"Retry-After: ")[2])
        assert limited.admits(request())


def test_nothing_is_told_where_that_is_off_but_when_to_come_again() -> None:
    limited = Limited(replace(TWO, headers=False))
    contexts = [request() for _ in range(3)]
    assert limited.admitted(*contexts) == 2
    assert [context.reply_lines for context in contexts] == [b"", b"", b"Retry-After: 2\r\n"]


def test_a_report_refuses_nobody_and_counts() -> None:
    limited = Limited(replace(TWO, report_only=True))
    contexts = [request() for _ in range(4)]
    assert limited.admitted(*contexts) == 4
    assert limited.counted == {False: 2}
    assert [context.rule for context in contexts] == ["", "", "rate_limit", "rate_limit"]
    assert b"Retry-After" not in contexts[-1].reply_lines


def test_who_is_on_the_allow_list_has_no_limit() -> None:
    listed = ("10.0.0.0/8", "2001:db8::7/128")
    limited = Limited(replace(TWO, allowlist=listed))
    assert limited.admitted(*[request("10.1.2.3")] * 9, *[request("::ffff:10.1.2.3")] * 9) == 18
    assert limited.admitted(*[request("2001:db8::7")] * 9) == 9
    assert limited.admitted(*[request("2001:db8::8")] * 9) == 2
    assert limited.admitted(*[request("")] * 9) == 2


def test_limits_count_apart_unless_they_are_the_same_one() -> None:
    table = BucketTable.of_one_worker()
    top = [Limited(TWO, table, route) for route in ("a", "b")]
    assert [each.admitted(*[request()] * 3) for each in top] == [2, 0]
    own = [Limited(replace(TWO, counted_for=f"main/{route}"), table, route) for route in ("a", "b")]
    assert [each.admitted(*[request()] * 3) for each in own] == [2, 2]


def test_what_machines_share_is_told_to_others_and_nothing_else() -> None:
    moved = MovedKeys()
    moved.is_open = True
    woken: list[int] = []
    moved.wake = lambda: woken.append(len(moved))
    shared, own = Limited(replace(TWO, scope="redis"), moved=moved), Limited(TWO, moved=moved)
    assert shared.admitted(*[request()] * 5, request("192.0.2.2")) == 3
    assert own.admitted(*[request()] * 5) == 2
    assert woken == [1]
    told = moved.take(9)
    assert [(limiter, key, count) for limiter, key, count in told] == [
        (shared.stage.limiter, b"\xc0\x00\x02\x01", 2),
        (shared.stage.limiter, b"\xc0\x00\x02\x02", 1),
    ]
    assert len(moved) == 0


def test_without_a_store_nothing_is_kept_for_it_and_with_one_no_more_than_a_bound() -> None:
    moved = MovedKeys()
    limited = Limited(replace(TWO, scope="redis"), moved=moved)
    assert limited.admitted(*[request()] * 5) == 2
    assert len(moved) == 0
    moved.is_open = True
    for number in range(MAX_MOVED + 5):
        moved.add(limited.stage.limiter, b"%d" % number)  # type: ignore[arg-type]
    assert (len(moved), moved.lost) == (MAX_MOVED, 5)


@pytest.mark.parametrize("report_only", [False, True])
def test_while_the_store_is_away_who_needs_it_is_refused_where_that_is_asked_for(report_only: bool) -> None:
    moved = MovedKeys()
    moved.is_refusing = True
    limited = Limited(replace(TWO, scope="redis", report_only=report_only, allowlist=("10.0.0.0/8",)), moved=moved)
    answer = limited.stage.on_request(request())
    if report_only:
        assert answer is None
    else:
        assert isinstance(answer, Reply)
        assert (answer.status, answer.why) == (503, Why.RATE_LIMIT_STORE)
    assert limited.admits(request("10.1.2.3"))
    assert Limited(TWO, moved=moved).admits(request())
