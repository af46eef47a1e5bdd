"""Sets of keys are kept fresh: one fetch for all, the last good one through failures, and no flood of fetches."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from jwks_server import JwksServer
from tokens import key_for, public_pem

from balance.config import load_text
from balance.config.model import Config
from balance.process.control.key_refresh import KeyRefresh, sources
from balance.security.key_set import JwksSource, KeyState

JWT = "jwt: {{enabled: true, algorithms: ES256, jwks_url: '{url}'{more}}}"


def keys(*kids: str) -> str:
    key = ECKey.import_key(public_pem(key_for("ES256"))).as_dict(private=False)
    return json.dumps({"keys": [key | {"kid": kid} for kid in kids]})


def config(url: str, more: str = "", other: str = "") -> Config:
    routes = f"http: {{routes: [{{name: r, security: {{{other}}}}}, {{name: s}}, {{name: t}}]}}\n" if other else ""
    head = "listen: ':1'\nbackends: [{address: 'a:1'}]\n"
    return load_text(head + "security: {" + JWT.format(url=url, more=more) + "}\n" + routes, "f.yaml", {}).config


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JwksServer]:
    made = JwksServer(tmp_path)
    yield made
    made.close()


def test_each_url_is_fetched_once_whatever_routes_name_it() -> None:
    found = list(sources(config("https://a/", other=JWT.format(url="https://b/", more=""))))
    assert [source.url for source in found] == ["https://b/", "https://a/", "https://a/"]
    assert len(set(found)) == 2


async def seen(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.long
def test_a_life_of_keys(server: JwksServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "balance.control")
    told: list[KeyState] = []

    def tell(states: object) -> None:
        assert isinstance(states, dict)
        told.extend(states.values())

    async def live() -> None:
        refresh = KeyRefresh(asyncio.get_running_loop(), {}, tell)
        server.answer("", "status")
        refresh.update(config(server.url() + "?secret=1", ", jwks_cooldown: 1h, jwks_refresh: 1s"))
        await seen(lambda: told and told[-1].failures >= 2)
        assert (told[-1].text, told[-1].failure) == ("", "it answers 500")
        server.answer(keys("a"))
        await seen(lambda: told[-1].text == keys("a"))  # by itself, after a pause
        assert told[-1].failure == ""
        server.answer(keys("b"))
        await seen(lambda: told[-1].text == keys("b"))  # by itself, as it is old
        count, telling = server.count, len(told)
        (source,) = refresh.states
        server.answer("", "status")
        for _ in range(50):
            refresh.fetch_newer(source)
        assert len(told) == telling + 50  # who asks is told what there is
        assert server.count <= count + 1
        await seen(lambda: told[-1].failure)
        assert told[-1].text == keys("b")  # the last good one
        refresh.update(config("http://127.0.0.1:1/"))
        assert list(refresh.states) == [JwksSource("http://127.0.0.1:1/", "", 600.0, 30.0, 5.0)]
        await seen(lambda: told[-1].failure == "Connection refused")
        refresh.update(load_text("listen: ':1'\nbackends: [{address: 'a:1'}]\n", "f.yaml", {}).config)
        assert refresh.states == {}

    asyncio.run(live())
    said = [record.message for record in caplog.records]
    assert not any("secret" in line for line in said)
    assert (
        sum("can't be fetched: it answers 500; requests with tokens are answered 503 until they come" in each for each in said)
        == 1
    )
    assert sum("can't be fetched: it answers 500; the last good ones stay" in each for each in said) == 1
    assert sum("have changed" in each for each in said) == 1


def test_what_is_known_from_before_is_not_fetched_again_at_once(server: JwksServer) -> None:
    server.answer(keys("b"))

    async def live() -> None:
        made = config(server.url(), ", jwks_cooldown: 1s")
        (source,) = set(sources(made))
        known = {source: KeyState(keys("a"), time.time(), fetches=3)}
        told: list[object] = []
        refresh = KeyRefresh(asyncio.get_running_loop(), known, told.append)
        refresh.update(made)
        assert refresh.states == known
        await asyncio.sleep(0)
        refresh.fetch_newer(source)
        refresh.fetch_newer(source)  # one is under way
        await seen(lambda: told)
        assert refresh.states[source].text == keys("b")
        assert server.count == 1

    asyncio.run(live())
