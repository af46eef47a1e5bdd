"""Tokens that are no good, where the limit goes by claims: counted by address, and refused before they are verified."""

from __future__ import annotations

from dataclasses import replace

from contexts import request_context
from limiters import Clock
from tokens import GOOD, NOW, SECRET, by_hand

from balance.config.common_model import RateLimit
from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.rate_limiting.bucket_table import BucketTable
from balance.security.settings import Jwt, RouteSecurity
from balance.stages import build_stages
from balance.stages.environment import StageEnvironment
from balance.stages.rate_limits.rate_limit_stage import claim_limit_stage, rate_limit_stage
from balance.stages.rate_limits.refused_tokens import refused_tokens_stage
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, ReplyHead

TWO = RateLimit(enabled=True, key=("jwt:sub",), requests_per_second=0.5, burst=2)
BAD = b"Authorization: Bearer x.y.z"


class At(RequestContext):
    __slots__ = ()

    def epoch(self) -> float:
        return NOW


def bearer(claims: dict[str, object]) -> bytes:
    return b"Authorization: Bearer " + by_hand(claims)


class Site:
    """All stages of a route with tokens, asked as they are asked on the way in and back."""

    def __init__(self, limit: RateLimit = TWO, *, asks: bool = True) -> None:
        self.clock, self.table = Clock(), BucketTable.of_one_worker()
        jwt = Jwt(enabled=asks, algorithms=("HS256",), secret=SECRET)
        self.route = RouteConfig("r", rate_limit=limit, security=RouteSecurity(jwt=jwt))
        self.environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, clock=self.clock, buckets=lambda: self.table)
        self.stages = build_stages(self.route, self.environment)

    def ask(self, line: bytes = b"", client: str = "192.0.2.1") -> int:
        usual = request_context(forward=b"Host: a\r\n" + (line + b"\r\n" if line else b""))
        context = At()
        context.fields, context.forward, context.now = usual.fields, usual.forward, 1.0
        context.client = client
        for stage in self.stages:
            answer = stage.on_request(context)
            if isinstance(answer, Reply):
                for each in self.stages:
                    each.on_reply(context, ReplyHead(answer.status, answer.lines, is_own=True))
                if answer.status == 429:
                    assert answer.why is Why.RATE_LIMITED
                    assert b"Retry-After: " in context.reply_lines
                return answer.status
        return 200


def test_users_have_a_limit_each_wherever_they_are() -> None:
    site = Site()
    ada, bob = bearer(GOOD | {"sub": "ada"}), bearer(GOOD | {"sub": "bob"})
    assert [site.ask(ada, f"192.0.2.{number}") for number in range(4)] == [200, 200, 429, 429]
    assert [site.ask(bob) for _ in range(3)] == [200, 200, 429]
    nobody = bearer({name: value for name, value in GOOD.items() if name != "sub"})
    assert [site.ask(nobody, "192.0.2.1"), site.ask(nobody, "192.0.2.2")] == [200, 200]  # by address
    assert [site.ask(nobody, "192.0.2.1") for _ in range(2)] == [200, 429]


def test_who_guesses_is_refused_before_a_signature_is_checked_and_users_elsewhere_are_not() -> None:
    site = Site()
    assert [site.ask(BAD) for _ in range(5)] == [401, 401, 429, 429, 429]
    good = bearer(GOOD | {"sub": "ada"})
    assert site.ask(good) == 429  # nobody knows yet whether it is good
    assert site.ask(good, "192.0.2.2") == 200
    site.clock.now += 2.0
    assert [site.ask(good), site.ask(BAD), site.ask(BAD)] == [200, 401, 429]


def test_who_has_no_token_guesses_nothing() -> None:
    site = Site()
    assert [site.ask() for _ in range(9)] == [401] * 9
    assert site.ask(bearer(GOOD | {"sub": "ada"})) == 200


def test_a_window_a_report_and_an_allow_list_hold_for_guesses_too() -> None:
    window = RateLimit(enabled=True, key=("jwt:sub", "path"), type="sliding-window", max_requests=2, window_s=60.0)
    site = Site(window)
    assert [site.ask(BAD) for _ in range(4)] == [401, 401, 429, 429]
    site.clock.now += 66.0
    assert site.ask(BAD) == 401
    reported = Site(replace(TWO, report_only=True))
    assert [reported.ask(BAD) for _ in range(4)] == [401] * 4
    listed = Site(replace(TWO, allowlist=("192.0.2.0/24",)))
    assert [listed.ask(BAD) for _ in range(4)] == [401] * 4


def test_the_limit_is_judged_behind_the_token_only_where_it_goes_by_claims() -> None:
    for limit, asks, before, behind in (
        (TWO, True, False, True),
        (TWO, False, True, False),
        (RateLimit(enabled=True), True, True, False),
    ):
        site = Site(limit, asks=asks)
        assert (rate_limit_stage(site.route, site.environment) is not None) is before
        assert (claim_limit_stage(site.route, site.environment) is not None) is behind
        assert (refused_tokens_stage(site.route, site.environment) is not None) is behind
