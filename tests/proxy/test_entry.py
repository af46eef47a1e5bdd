"""A listener's settings as its connections use them."""

from stage import Stage

from balance.config.model import HttpConfig, Keepalive, Timeouts
from balance.proxy.entry import Entry
from balance.proxy.wheel import NEVER


def entry(stage: Stage, timeouts: Timeouts, http: HttpConfig) -> Entry:
    stage.run(stage.open(stage.refusing(), timeouts=timeouts, http=http))
    return Entry(stage.service, stage.snapshot.listeners[0], 8080)


def test_timeout_of_0_is_none(stage: Stage) -> None:
    made = entry(stage, Timeouts(read_s=0.0, keepalive_s=0.0, request_s=0.0), HttpConfig())
    assert (made.read_s, made.keepalive_s, made.request_s) == (NEVER, NEVER, NEVER)


def test_settings_arrive(stage: Stage) -> None:
    http = HttpConfig(
        keepalive=Keepalive(max_idle_per_backend=7, max_requests=8),
        forwarded="both",
        request_id=False,
        via=True,
        error_pages=((503, "page"),),
    )
    made = entry(stage, Timeouts(read_s=1.0, keepalive_s=2.0, request_s=3.0), http)
    assert (made.read_s, made.keepalive_s, made.request_s) == (1.0, 2.0, 3.0)
    assert (made.max_idle, made.max_requests, made.pages) == (7, 8, {503: "page"})
    assert (made.forwarded, made.request_id, made.via, made.port) == ("both", False, True, 8080)
