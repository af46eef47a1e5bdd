"""A listener's settings as its connections use them."""

import gc
import weakref
from dataclasses import replace

import pytest
from rawclient import get, ok
from routed import http as routes
from routed import to
from stage import Stage, serve

from balance.config.model import HttpConfig, Keepalive, Retry, Timeouts
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import NEVER


def settings(stage: Stage, timeouts: Timeouts, http: HttpConfig, retry: Retry | None = None) -> ListenerSettings:
    stage.run(stage.open(stage.refusing(), timeouts=timeouts, http=http, retry=retry))
    return ListenerSettings(stage.worker, stage.snapshot.listeners[0], 8080)


def test_timeout_of_0_is_none(stage: Stage) -> None:
    made = settings(stage, Timeouts(read_s=0.0, keepalive_s=0.0, request_s=0.0), HttpConfig())
    assert (made.read_s, made.keepalive_s, made.request_s) == (NEVER, NEVER, NEVER)


@pytest.mark.parametrize(
    ("connect_s", "read_s", "per_try_s", "bounds"),
    [
        (5.0, 30.0, 0.0, (5.0, 30.0)),
        (5.0, 30.0, 2.0, (2.0, 2.0)),
        (1.0, 30.0, 2.0, (1.0, 2.0)),
        (0.0, 0.0, 2.0, (2.0, 2.0)),
        (0.0, 0.0, 0.0, (0.0, NEVER)),
    ],
)
def test_time_for_a_try_bounds_connect_and_reply(
    stage: Stage, connect_s: float, read_s: float, per_try_s: float, bounds: tuple[float, float]
) -> None:
    retry = Retry(enabled=True, per_try_timeout_s=per_try_s)
    made = settings(stage, Timeouts(connect_s=connect_s, read_s=read_s), HttpConfig(), retry)
    assert (made.connect_s, made.reply_s) == bounds


def test_settings_arrive(stage: Stage) -> None:
    http = HttpConfig(
        keepalive=Keepalive(max_idle_per_backend=7, max_requests=8),
        forwarded="both",
        request_id=False,
        via=True,
        error_pages=((503, "page"),),
    )
    made = settings(stage, Timeouts(read_s=1.0, keepalive_s=2.0, request_s=3.0), http)
    assert (made.read_s, made.keepalive_s, made.request_s) == (1.0, 2.0, 3.0)
    assert (made.max_idle, made.max_requests, made.pages) == (7, 8, {503: "page"})
    assert (made.forwarded, made.request_id, made.via, made.port) == ("both", False, True, 8080)


async def test_settings_and_those_of_their_routes_go_with_a_reload_and_need_no_collector(stage: Stage) -> None:
    """What waits for the collector may be frozen by the next reload, and stays for good."""
    stage.backend(serve(ok(b"served")))
    await stage.open(http=routes(to("web")))
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"served"
    (acceptor,) = stage.listener_server._acceptors.values()
    assert acceptor._settings is not None
    before = weakref.ref(acceptor._settings)
    assert acceptor._settings.held._routed
    count = alive()
    gc.disable()
    try:
        (listener,) = stage.snapshot.config.listeners
        changed = replace(listener, http=replace(listener.http, via=True))
        await stage.reload(replace(stage.snapshot.config, listeners=(changed,)))
        await client.send(get())
        assert (await client.reply()).body == b"served"
        assert before() is None
        assert alive() == count  # the listener's and the route's, each the newest
    finally:
        gc.enable()


def alive() -> int:
    """How many settings there are; compiled ones can't be referred to weakly."""
    return sum(type(each) is ListenerSettings for each in gc.get_objects())
