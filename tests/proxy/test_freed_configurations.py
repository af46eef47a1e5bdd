"""What a reload replaces is freed, with requests under way and connections that stay: pure and compiled."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from dataclasses import replace

from rawclient import Wire, get, ok
from routed import http, prefix, to
from stage import Stage, serve

from balance.config.model import HttpConfig
from balance.config.route_model import HeaderChange, Transform
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool
from balance.runtime.pool_view import PoolView
from balance.runtime.routes import Route, Router
from balance.runtime.snapshot import Listener, Snapshot

OF_A_CONFIGURATION = (Snapshot, Listener, ListenerSettings, Router, Route, Pool, PoolView, Backend)


def routes(number: int) -> HttpConfig:
    """One that says where, one that has an algorithm of its own, one with a stage: each changed by every reload."""
    line = Transform(request_headers=(HeaderChange("set", "x-configuration", str(number)),))
    return http(
        to("plain", match=prefix("/plain")),
        to("own", match=prefix("/own"), algorithm="least-connections"),
        to("staged", transform=line),
        error_pages=((404, f"page {number}"),),
    )


def alive() -> Counter[str]:
    """How many there are of each class that a configuration is made of; nothing is collected for it."""
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in OF_A_CONFIGURATION)


async def reload(stage: Stage, number: int) -> None:
    config = stage.snapshot.config
    (listener,) = config.listeners
    pools = tuple(
        replace(pool, backends=tuple(replace(backend, weight=1 + number % 2) for backend in pool.backends))
        for pool in config.pools
    )
    await stage.reload(replace(config, listeners=(replace(listener, http=routes(number)),), pools=pools))


async def ask_all(client: Wire) -> None:
    for path in ("/plain", "/own", "/else"):
        await client.send(get(path))
        assert (await client.reply()).status == 200


async def test_over_many_reloads_under_traffic_nothing_of_an_old_configuration_stays(stage: Stage) -> None:
    gc.collect()
    of_others = alive()["Snapshot"]  # tests before this one
    stage.backend(serve(ok(b"served")))
    stage.backend(serve(ok(b"served")))
    await stage.open(http=routes(0))
    clients = [await stage.client() for _ in range(3)]
    silent = await stage.client()
    await ask_all(silent)  # and says nothing more: it keeps what it began with, and nothing since
    is_over = False

    async def ask_on(client: Wire) -> None:
        while not is_over:
            await ask_all(client)

    counts: list[Counter[str]] = []
    sizes: list[int] = []
    gc.disable()  # what waits for the collector may be frozen by the next reload, and stays for good
    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(ask_on(client))
            for number in range(1, 41):
                await reload(stage, number)
                for _ in range(2):
                    new = await stage.client()
                    await ask_all(new)
                    new.close()
            is_over = True
        for turn in range(2):  # without a request under way
            await reload(stage, 100 + turn)
            for client in clients:
                await ask_all(client)
            counts.append(alive())
            sizes.append(len(gc.get_objects()))
        for number in range(200, 230):
            await reload(stage, number)
            for client in clients:
                await ask_all(client)
        counts.append(alive())
        sizes.append(len(gc.get_objects()))
    finally:
        gc.enable()
    assert counts[0] == counts[1] == counts[2]
    assert counts[2]["Snapshot"] == of_others + 1
    assert sizes[2] - sizes[1] < 200, sizes
    await ask_all(silent)
