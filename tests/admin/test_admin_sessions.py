"""GET /sessions: how they are kept, and what is not shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from balance.admin.sessions import session, sessions, store
from balance.config import load_text
from balance.runtime import counters
from balance.runtime.snapshot import backend_slots
from balance.shared_store.failures import Failure, StoreState

FILE = """\
listen: ":8080"
backends: [{name: a, address: "127.0.0.1:9001"}, {name: b, address: "127.0.0.1:9002"}]
"""
REDIS = "session_affinity: {enabled: true, mode: redis, ttl: 5m}\nredis: {url: 'redis://me:secret@127.0.0.1:1/0'}\n"


class View:
    """Two workers."""

    def __init__(self, text: str) -> None:
        self.config = load_text(FILE + text, "f.yaml", {}).config
        self.slots = backend_slots(self.config)
        self.board = self
        self.rows = [memoryview(bytearray(8 * counters.row_cells(len(self.slots) + 1))).cast("Q") for _ in range(2)]
        for place, row in enumerate(self.rows, 1):
            row[counters.PLACE] = place
            row[counters.STORE_STATE] = StoreState.UP

    @property
    def view(self) -> Any:
        return self


def test_each_pool_says_how_it_keeps_sessions_and_where_they_began() -> None:
    view = View(REDIS)
    view.rows[0][counters.block(view.slots["default", "b"]) + counters.SESSIONS] = 3
    view.rows[1][counters.block(view.slots["default", "b"]) + counters.SESSIONS] = 4
    assert sessions(view.view)["pools"] == [
        {
            "name": "default",
            "mode": "redis",
            "kept_in": "redis",
            "cookie": "LOAD-BALANCING_SESSION",
            "ttl": "5m",
            "backends": [{"name": "a", "began": 0}, {"name": "b", "began": 7}],
        }
    ]


@pytest.mark.parametrize(
    ("text", "mode", "kept_in", "cookie"),
    [
        ("session_affinity: {enabled: true, secret: x}", "cookie", "cookie", "LOAD-BALANCING_SESSION"),
        ("session_affinity: {enabled: true, mode: source-ip}", "source-ip", "memory", None),
        ("session_affinity: {enabled: true, mode: redis}", "redis", "memory", "LOAD-BALANCING_SESSION"),
    ],
)
def test_what_needs_no_redis(text: str, mode: str, kept_in: str, cookie: str | None) -> None:
    view = View(text)
    shown = sessions(view.view)
    assert shown["redis"] is None
    (pool,) = shown["pools"]
    assert (pool["mode"], pool["kept_in"], pool["cookie"]) == (mode, kept_in, cookie)
    with pytest.raises(HTTPException) as refused:
        asyncio.run(session(view.view, "a" * 22))
    assert refused.value.status_code == 404


def test_no_sessions_no_pools() -> None:
    assert sessions(View("").view) == {"redis": None, "pools": []}


def test_the_store_stands_as_with_the_worker_that_is_worst_off_and_shows_no_password() -> None:
    view = View(REDIS)
    view.rows[1][counters.STORE_STATE] = StoreState.DOWN
    view.rows[1][counters.STORE_FAILURE] = Failure.AUTH
    view.rows[0][counters.STORE_LOOKUPS] = 5
    assert store(view.view) == {
        "state": "down",
        "reason": "it does not take our user and password",
        "url": "redis://***@127.0.0.1:1/0",
        "on_failure": "local",
        "lookups": 5,
        "errors": 0,
        "writes_lost": 0,
    }


@pytest.mark.parametrize(("wanted", "status"), [("x", 404), ("a" * 23, 404), ("../" * 8, 404), ("a" * 22, 503)])
def test_a_session_that_can_not_be_shown(wanted: str, status: int) -> None:
    with pytest.raises(HTTPException) as refused:
        asyncio.run(session(View(REDIS).view, wanted))
    assert refused.value.status_code == status
    assert "secret" not in refused.value.detail
