"""Rate limits as a file says them: the nearest wins key by key, who counts for itself, what is refused and warned of."""

from __future__ import annotations

import pytest

from balance.config import load_text
from balance.config.model import Config, RateLimit
from balance.errors import ConfigError

BASE = """\
pools: {p: {backends: [{address: "h:1"}, {address: "h:2"}]}}
"""
JWT = "security: {jwt: {enabled: true, secret: 0123456789abcdef0123456789abcdef, algorithms: [HS256]}}"
BY_CLAIM = f"rate_limit: {{enabled: true, key: jwt:sub}}\nhttp: {{routes: [{{name: a, {JWT}}}, {{name: b}}]}}"
LISTENERS = 'listeners: [{name: web, listen: ":1"}, {name: other, listen: ":2"%s}]\n'


def config(text: str) -> Config:
    return load_text(BASE + text, "f.yaml", {}).config


def test_the_nearest_wins_key_by_key_and_counts_for_itself() -> None:
    text = """\
rate_limit: {enabled: true, requests_per_second: 5, burst: 9, allowlist: [10.0.0.0/8, 192.0.2.1-192.0.2.2]}
listeners:
  - {name: web, listen: ":1"}
  - {name: own, listen: ":2", rate_limit: {burst: 3, key: [path, client_ip, path]}}
http:
  routes:
    - {name: a, path: /a}
    - {name: b, path: /b, rate_limit: {type: sliding-window, window: 1h}}
    - {name: c, rate_limit: {enabled: false}}
"""
    web, own = config(text).listeners
    allowlist = ("10.0.0.0/8", "192.0.2.1/32", "192.0.2.2/32")
    top = RateLimit(enabled=True, requests_per_second=5, burst=9, allowlist=allowlist)
    assert web.rate_limit == top
    assert web.http.routes[0].rate_limit == top
    assert own.http.routes[0].rate_limit.counted_for == "own"
    assert (own.rate_limit.burst, own.rate_limit.key, own.rate_limit.allowlist) == (3, ("path", "client-ip"), allowlist)
    assert [route.rate_limit.counted_for for route in web.http.routes] == ["", "web/b", "web/c"]
    assert (web.http.routes[1].rate_limit.type, web.http.routes[1].rate_limit.window_s) == ("sliding-window", 3600.0)
    assert [route.rate_limit.enabled for route in own.http.routes] == [True, True, False]
    assert own.http.routes[1].rate_limit.burst == 3


def test_older_names() -> None:
    older = "security: {rate_limit: {enabled: true, requests_per_second: 5, burst_size: 9, window_size: 2m}}\n"
    first, _ = config(LISTENERS % "" + older).listeners
    assert first.rate_limit == RateLimit(enabled=True, requests_per_second=5.0, burst=9, window_s=120.0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("key: 'jwt:'", "'jwt:' names no claim of a token, like jwt:sub"),
        ("key: [path, host]", "'host' is not one of client-ip, path, route, header:NAME, cookie:NAME, query:NAME"),
        ("key: 'header:X-Forwarded-For'", "is what anybody may claim"),
        ("key: 'header:a b'", "'a b' is not the name of a header field"),
        ("type: leaky", "'leaky' is not one of token-bucket, sliding-window"),
        ("requests_per_second: 0", "expected a number from 0.0001 to 1e+06, got 0"),
        ("max_requests: 0", "0 is not in 1..1000000000"),
        ("window: 0s", "is no time at all"),
        ("allowlist: [10.0.0.1/8]", "10.0.0.1/8"),
        ("scope: cluster", "'cluster' is not one of local, redis"),
    ],
)
def test_what_is_refused(keys: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(LISTENERS % "" + f"rate_limit: {{enabled: true, {keys}}}\n")
    assert message in "\n".join(map(str, caught.value.problems))


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (LISTENERS % "" + "rate_limit: {enabled: true, burst: 5}", []),
        (LISTENERS % "" + "rate_limit: {burst: 5}", ["rate_limit: has no effect without enabled: true"]),
        (LISTENERS % "" + "rate_limit: {enabled: false, burst: 5}", []),
        (
            LISTENERS % "" + "rate_limit: {enabled: true, window: 5s, max_requests: 1}",
            [f"rate_limit.{key}: has no effect: only type sliding-window has it" for key in ("window", "max_requests")],
        ),
        (
            LISTENERS % ", rate_limit: {type: sliding-window, burst: 5}" + "rate_limit: {enabled: true, window: 5s}",
            ["listeners[1].rate_limit.burst: has no effect: only type token-bucket has it"],
        ),
        (
            LISTENERS % ", mode: tcp, rate_limit: {enabled: true}",
            ["listeners[1].rate_limit: has no effect: listener 'other' has mode tcp"],
        ),
        (
            LISTENERS % "" + "rate_limit: {enabled: true, scope: redis}",
            ["rate_limit.scope: without redis.url limits of scope redis are counted on this machine alone"],
        ),
        (LISTENERS % "" + "rate_limit: {enabled: true, scope: redis}\nredis: {url: 'redis://h:1'}", []),
        (
            LISTENERS % "" + BY_CLAIM,
            ["rate_limit: it goes by a claim where security.jwt asks for no token: there everybody is counted by his address"],
        ),
        (
            LISTENERS % "" + "http: {routes: [{name: a, rate_limit: {burst: 5}}]}",
            ["http.routes[0].rate_limit: has no effect without enabled: true"],
        ),
    ],
)
def test_what_is_warned_of(text: str, warnings: list[str]) -> None:
    found = [str(each).split(": ", 1)[1] for each in load_text(BASE + text, "f.yaml", {}).warnings]
    found = [each for each in found if "rate_limit" in each]
    assert found == warnings
