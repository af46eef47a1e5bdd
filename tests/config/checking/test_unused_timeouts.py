"""Where timeouts may be given, which one wins, and warnings about those without effect."""

import pytest

from balance.config import load_text
from balance.errors import ConfigError

POOLS = "pools: {p: {backends: [{address: 'h:1'}], health_check: {enabled: true, timeout: 1s}%s}}\n"
TOP, LISTENER, POOL = "timeouts: {%s: 4s}\n", ", timeouts: {%s: 3s}", ", timeouts: {%s: 2s}"
TOWARDS_BACKENDS = ("connect", "read", "write", "request", "idle", "half_closed", "tunnel")
OF_CLIENTS = ("client_header", "client_body", "keepalive")


def text_of(key: str, *, at_top: bool = True, at_listener: bool = True, at_pool: bool = True) -> str:
    listener = LISTENER % key if at_listener else ""
    return (
        (TOP % key if at_top else "")
        + f"listeners: [{{listen: ':1', pool: p{listener}}}]\n"
        + POOLS % (POOL % key if at_pool else "")
    )


def seconds(text: str, key: str) -> float:
    value: float = getattr(load_text(text, "f.yaml", {}).config.listeners[0].timeouts, f"{key}_s")
    return value


@pytest.mark.parametrize("key", TOWARDS_BACKENDS)
def test_the_nearest_timeout_wins(key: str) -> None:
    assert seconds(text_of(key), key) == 2.0
    assert seconds(text_of(key, at_pool=False), key) == 3.0
    assert seconds(text_of(key, at_pool=False, at_listener=False), key) == 4.0
    assert seconds(text_of(key, at_listener=False, at_top=False), key) == 2.0


def test_each_listener_has_its_own_pools() -> None:
    text = (
        "listeners: [{listen: ':1', pool: a}, {listen: ':2', pool: b}, {listen: ':3', pool: a, timeouts: {read: 9s}}]\n"
        "pools: {a: {backends: [{address: 'h:1'}]}, b: {backends: [{address: 'h:2'}], timeouts: {read: 5s}}}\n"
        "timeouts: {read: 7s}\n"
    )
    assert [listener.timeouts.read_s for listener in load_text(text, "f.yaml", {}).config.listeners] == [7.0, 5.0, 9.0]


@pytest.mark.parametrize(("section", "key"), [("listener", "drain"), ("pool", "drain"), *(("pool", key) for key in OF_CLIENTS)])
def test_a_timeout_that_means_nothing_at_a_place_is_refused_by_name(section: str, key: str) -> None:
    text = text_of(key, at_top=False, at_listener=section == "listener", at_pool=section == "pool")
    with pytest.raises(ConfigError) as refused:
        load_text(text, "f.yaml", {})
    (problem,) = refused.value.problems
    where = "listeners[0]" if section == "listener" else "pools.p"
    at_listener = "" if key == "drain" else " or listeners[0].timeouts." + key
    assert problem.path == f"{where}.timeouts.{key}"
    assert problem.message == f"unknown key here; it belongs to timeouts.{key}{at_listener}"


TCP = "mode: tcp\n"
MODE_TCP = "has no effect: listener 'listener-1' has mode tcp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TCP + text_of("read", at_listener=False, at_pool=False), f"timeouts.read: {MODE_TCP}"),
        (TCP + text_of("client_body", at_top=False, at_pool=False), f"listeners[0].timeouts.client_body: {MODE_TCP}"),
        (TCP + text_of("tunnel", at_top=False, at_listener=False), f"pools.p.timeouts.tunnel: {MODE_TCP}"),
        (
            text_of("idle", at_top=False, at_listener=False),
            "pools.p.timeouts.idle: has no effect: listener 'listener-1' has mode http",
        ),
        (
            text_of("connect", at_top=False),
            "listeners[0].timeouts.connect: has no effect: pool 'p' has its own, 2s",
        ),
    ],
)
def test_a_timeout_that_nobody_reads_is_remarked_on(text: str, message: str) -> None:
    assert [f"{problem.path}: {problem.message}" for problem in load_text(text, "f.yaml", {}).warnings] == [message]


def test_a_timeout_at_the_top_is_for_the_listeners_that_read_it() -> None:
    text = (
        "listeners: [{listen: ':1', pool: a}, {listen: ':2', pool: b, mode: tcp}]\n"
        "pools: {a: {backends: [{address: 'h:1'}]}, b: {backends: [{address: 'h:2'}]}}\n"
        "timeouts: {read: 5s, idle: 5s, half_closed: 1s}\n"
    )
    assert load_text(text, "f.yaml", {}).warnings == ()
