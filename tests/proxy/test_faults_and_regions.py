"""Injected faults and regions over real connections: who waits, who is left alone, and where the next try goes."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rawclient import Message, Wire, get, ok
from routed import http, prefix, to
from stage import Stage, serve, until

from balance.config.model import AccessLog, Config, Retry
from balance.config.route_model import Fault, FixedResponse, Regions, TrafficPolicy, ValueMatch
from balance.model import Why

HERE = (ipaddress.ip_network("127.0.0.0/8"),)
EVER = 4e9


def named(name: str) -> Callable[[Message], bytes]:
    return lambda request: ok(name.encode())


async def ask(wire: Wire, *fields: str) -> Message:
    await wire.send(get("/", *fields))
    return await wire.reply()


async def faulty(stage: Stage, fault: Fault, *, is_trusted: bool = True) -> Wire:
    stage.backend(serve(named("app")))
    await stage.open(http=http(to("r", policy=TrafficPolicy(fault=fault))), trusted=HERE if is_trusted else ())
    return await stage.client()


async def test_an_abort_is_answered_without_a_backend_and_the_connection_stays(stage: Stage) -> None:
    wire = await faulty(
        stage, Fault(abort_percent=100, abort_status=429, header=ValueMatch("x-fault", "present"), until_s=EVER)
    )
    assert [(await ask(wire, *fields)).status for fields in (["X-Fault: 1"], [], ["X-Fault: 1"])] == [429, 200, 429]
    assert stage.whys == {Why.FAULT_INJECTED: 2, Why.OK: 1}
    assert len(stage.backends[0].wires) == 1


async def test_nobody_but_a_trusted_proxy_causes_a_fault_by_a_field(stage: Stage) -> None:
    fault = Fault(abort_percent=100, header=ValueMatch("x-fault", "present"), until_s=EVER)
    wire = await faulty(stage, fault, is_trusted=False)
    assert (await ask(wire, "X-Fault: 1")).status == 200


async def test_a_delay_holds_one_request_and_no_other_and_then_it_goes_on(stage: Stage) -> None:
    fault = Fault(delay_percent=100, delay_s=0.3, header=ValueMatch("x-fault", "present"), until_s=EVER)
    slow = await faulty(stage, fault)
    await slow.send(get("/", "X-Fault: 1"))
    quick = await stage.client()
    assert (await ask(quick)).status == 200
    assert not slow.unread
    assert stage.whys == {Why.OK: 1}
    assert (await slow.reply()).body == b"app"


async def test_a_client_that_leaves_during_a_delay_leaves_nothing_behind(stage: Stage) -> None:
    wire = await faulty(stage, Fault(delay_percent=100, delay_s=30.0, until_s=EVER))
    await wire.send(get("/"))
    await until(lambda: stage.worker.connections)
    wire.close()
    await stage.settled()
    assert not stage.backends[0].wires


def in_regions(config: Config, *regions: str) -> Config:
    pool = config.pools[0]
    backends = tuple(replace(backend, region=region) for backend, region in zip(pool.backends, regions, strict=True))
    return replace(config, pools=(replace(pool, backends=backends), *config.pools[1:]))


async def regional(stage: Stage, *regions: str, is_trusted: bool = True) -> Wire:
    for number, region in enumerate(regions):
        stage.backend(serve(named(f"{region}{number}")))
    policy = Regions(header="x-region", fallback=(("eu", ("us",)), ("*", ("us",))))
    route = to("r", policy=TrafficPolicy(regions=policy), retry=Retry())
    await stage.open(http=http(route), trusted=HERE if is_trusted else (), retry=Retry())
    await stage.reload(in_regions(stage.snapshot.config, *regions))
    return await stage.client()


async def test_requests_of_a_region_stay_there_on_one_connection(stage: Stage) -> None:
    wire = await regional(stage, "eu", "us", "eu", "asia")
    for region, expected in (("eu", {"eu0", "eu2"}), ("us", {"us1"}), ("asia", {"asia3"}), ("moon", {"us1"})):
        found = Counter([(await ask(wire, f"X-Region: {region}")).body.decode() for _ in range(6)])
        assert set(found) == expected


async def test_the_log_says_the_regions_and_who_may_not_spill_over(stage: Stage, tmp_path: Path) -> None:
    for region in ("eu", "us"):
        stage.backend(serve(named(region)))
    policy = TrafficPolicy(regions=Regions(header="x-region", fallback=(("eu", ()), ("asia", ("us",)))))
    log = tmp_path / "access.log"
    access = AccessLog(enabled=True, output=str(log))
    closed = to("closed", "", match=prefix("/closed"), respond=FixedResponse(200, "x"))
    await stage.open(http=http(closed, to("r", policy=policy)), trusted=HERE, access=access)
    await stage.reload(in_regions(stage.snapshot.config, "eu", "us"))
    wire = await stage.client()
    for region in ("eu", "asia"):
        await ask(wire, f"X-Region: {region}")
    stage.listener_server.set_ready(stage.backend_states[0].slot, False)
    refused = await ask(wire, "X-Region: eu")
    assert (refused.status, json.loads(refused.body)["why"]) == (503, "no_healthy")
    await wire.send(get("/closed"))
    assert (await wire.reply()).status == 200
    await until(lambda: log.read_text().count("\n") == 4)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line.get("region"), line.get("backend_region"), line["pool"]) for line in lines] == [
        ("eu", "eu", "pool"), ("asia", "us", "pool"), ("eu", None, "pool"), (None, None, "")
    ]  # fmt: skip
    detail = "no backend is ready in region eu or its fallback; those of other regions may not be used"
    assert lines[2]["detail"] == json.loads(refused.body)["detail"] == detail
    stage.listener_server.set_ready(stage.backend_states[1].slot, False)
    assert json.loads((await ask(wire, "X-Region: eu")).body)["detail"] == "no backend is ready"


async def test_a_region_that_a_client_claims_is_not_believed(stage: Stage) -> None:
    wire = await regional(stage, "eu", "us", is_trusted=False)
    assert {(await ask(wire, "X-Region: eu")).body for _ in range(4)} == {b"us1"}


async def breaks_off(wire: Wire) -> None:
    await wire.request()


@pytest.mark.parametrize(("failing", "expected"), [(1, b"eu1"), (2, b"us2")])
async def test_the_next_try_is_in_the_region_then_in_the_next_one(stage: Stage, failing: int, expected: bytes) -> None:
    regions = ("eu", "eu", "us", "asia")
    for number, region in enumerate(regions):
        stage.backend(breaks_off if number < failing else serve(named(f"{region}{number}")))
    policy = Regions(header="x-region", fallback=(("eu", ("us", "asia")),))
    retry = Retry(max_attempts=3, backoff_base_s=0.001)
    await stage.open(http=http(to("r", policy=TrafficPolicy(regions=policy), retry=retry)), trusted=HERE, retry=retry)
    await stage.reload(in_regions(stage.snapshot.config, *regions))
    wire = await stage.client()
    assert {(await ask(wire, "X-Region: eu")).body for _ in range(4)} == {expected}


@pytest.mark.parametrize("state", [True, False])
async def test_a_region_follows_what_is_ready(stage: Stage, state: bool) -> None:
    wire = await regional(stage, "eu", "us")
    assert (await ask(wire, "X-Region: eu")).body == b"eu0"
    stage.pool.set_ready(stage.pool.backends[0], state)
    assert (await ask(wire, "X-Region: eu")).body == (b"eu0" if state else b"us1")


async def test_a_reload_that_moves_a_backend_moves_its_requests(stage: Stage) -> None:
    wire = await regional(stage, "eu", "us")
    assert (await ask(wire, "X-Region: eu")).body == b"eu0"
    await stage.reload(in_regions(stage.snapshot.config, "us", "eu"))
    assert (await ask(wire, "X-Region: eu")).body == b"us1"
