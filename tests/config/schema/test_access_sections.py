"""`proxy_protocol`, at the top, in listeners and in pools."""

from __future__ import annotations

import pytest

from balance.config import load_text
from balance.errors import ConfigError

FULL = """\
proxy_protocol: {accept: true, trusted: [10.0.0.0/8], send: v1}
listeners:
- {listen: ":1", pool: p}
- {listen: ":2", pool: q, mode: tcp, proxy_protocol: {accept: false}}
- {listen: ":3", pool: p, proxy_protocol: {trusted: [unix], timeout: 3s}}
pools:
  p: {backends: [{address: a:1}]}
  q: {backends: [{address: a:2}], proxy_protocol: {send: v2}}
"""
SIMPLE = "listen: ':1'\nbackends: [{address: a:1}]\n"


def test_the_nearest_key_wins() -> None:
    config = load_text(FULL, "f.yaml", {}).config
    accepting = [listener.proxy_protocol for listener in config.listeners]
    assert [each.accept for each in accepting] == [True, False, True]
    assert [list(map(str, each.trusted)) for each in accepting] == [["10.0.0.0/8"], ["10.0.0.0/8"], ["unix"]]
    assert [each.timeout_s for each in accepting] == [5.0, 5.0, 3.0]
    assert [(pool.proxy_protocol.send, pool.health_check.send_proxy) for pool in config.pools] == [("v1", "v1"), ("v2", "v2")]


def test_the_simple_form_has_all_at_the_top() -> None:
    config = load_text(SIMPLE + "proxy_protocol: {accept: true, trusted: ['::1'], send: v2}", "f.yaml", {}).config
    assert (config.listeners[0].proxy_protocol.accept, config.pools[0].proxy_protocol.send) == (True, "v2")
    config = load_text(SIMPLE, "f.yaml", {}).config
    assert (config.listeners[0].proxy_protocol.accept, config.pools[0].proxy_protocol.send) == (False, "none")


MIRROR = """\
listen: ":1"
http: {routes: [{name: r, pool: p, policy: {mirror: {pool: q}}}]}
pools:
  p: {backends: [{address: a:1}]}
  q: {backends: [{address: a:2}], proxy_protocol: {send: v2}}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SIMPLE + "proxy_protocol: {accept: true}", "3:26: proxy_protocol.accept: nobody may connect: write who sends"),
        (SIMPLE + "proxy_protocol: {accept: true, trusted: []}", "3:41: proxy_protocol.trusted: nobody may connect"),
        (SIMPLE + "proxy_protocol: {send: v3}", "3:24: proxy_protocol.send: 'v3' is not one of v1, v2, none"),
        (SIMPLE + "proxy_protocol: true", "3:17: proxy_protocol: expected keys below it"),
        (FULL.replace("{send: v2}", "{accept: true}"), "8:52: pools.q.proxy_protocol.accept: unknown key"),
        (MIRROR, "2:60: http.routes[0].policy.mirror.pool: 'q' has proxy_protocol.send, and copies of many"),
    ],
)
def test_what_would_not_work_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.yaml", {})
    assert str(caught.value).startswith(f"f.yaml:{message}")


def test_what_has_no_effect_is_warned_of() -> None:
    (warning,) = load_text(SIMPLE + "proxy_protocol: {trusted: [10.0.0.0/8]}", "f.yaml", {}).warnings
    assert str(warning).endswith("proxy_protocol.trusted: has no effect: proxy_protocol.accept is false")
