"""The newest state, and since when there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from state_server import StateServer, backend, serving_state, state

from balance.cli.top.feed import Feed, News
from balance.client import Client


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StateServer]:
    monkeypatch.setattr("balance.cli.top.feed.PAUSE_S", (0.02, 0.05))
    with serving_state(state(backend(1))) as found:
        yield found


def until(feed: Feed, condition: Callable[[News], Any]) -> News:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        if condition(news := feed.news()):
            return news
        time.sleep(0.01)
    raise AssertionError(feed.news())


def test_news_come_and_contact_is_lost_and_found(server: StateServer) -> None:
    client = Client(server.address)
    with Feed(client, client.state()) as feed:
        assert feed.news().lost == ""
        server.change(backends={"app/new": backend(2, name="new", errors_by_why={"reset": 1})})
        news = until(feed, lambda news: "app/new" in news.state["backends"])
        assert news.number > 1 and news.last_whys == {"app/new": "reset"}
        before = time.time()
        server.stop()
        news = until(feed, lambda news: "nobody answers" in news.lost)
        assert before - 1 < news.lost_at <= time.time() and "app/new" in news.state["backends"]
        server.state["instance"]["control_id"] = "c2"
        server.start()
        news = until(feed, lambda news: news.note)
        assert news.note.endswith("its control process was started anew; traffic went on")
        assert (news.lost, feed.news().note) == ("", "")


def test_where_streams_are_refused_it_asks(server: StateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.cli.top.feed.POLL_S", 0.02)
    server.refuses_streams = True
    client = Client(server.address)
    with Feed(client, client.state()) as feed:
        server.change(backends={"app/new": backend(2, name="new")})
        assert until(feed, lambda news: "app/new" in news.state["backends"]).lost == ""


def test_silence_is_no_contact(server: StateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(Client(server.address), state(backend(1)) | {"interval_seconds": 0.01})  # not begun: nothing comes
    monkeypatch.setattr("balance.cli.top.feed.SILENCE_S", 0.05)
    assert until(feed, lambda news: news.lost).lost == "it says nothing more"
