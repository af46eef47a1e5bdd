"""Requests stay in their region while it can take them, and spill over in proportion when it can't."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import (
    BackendConfig,
    Config,
    HashKey,
    HealthCheck,
    ListenerConfig,
    PassiveChecks,
    PoolConfig,
    SessionAffinity,
)
from balance.config.route_model import Regions
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.holder import Holder
from balance.model import Address, Mode, Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool
from balance.runtime.region_levels import RegionChoice
from balance.runtime.row import Row
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.runtime.snapshot import backend_slots, build

QUIET: dict[str, Any] = {"health_check": HealthCheck(passive=PassiveChecks(enabled=False))}
HELD: list[Holder[Pool]] = []  # views are followed up as long as somebody has their holders
EU_US_ASIA = Regions(fallback=(("eu", ("us", "asia")), ("*", ("us",))))


def pool_of(*names: str, algorithm: str = "round-robin", limits: int = 0, **more: Any) -> Pool:
    """Backends like eu1, us2, any1; with `*3` of weight 3, with `+` backups."""
    backends = []
    for text in names:
        name, _, weight = text.strip("+").partition("*")
        region = "" if name.startswith("any") else name.rstrip("0123456789")
        backends.append(
            BackendConfig(
                name,
                Address("127.0.0.1", 1),
                int(weight or 1),
                region=region,
                backup=text.endswith("+"),
                max_connections=limits,
            )
        )
    config = Config(
        (ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", tuple(backends), algorithm, **{**QUIET, **more}),)
    )
    slots = backend_slots(config)
    row = Row(memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q"))
    return build(config, slots, row, random.Random(1).random).pools["web"]


def seen(pool: Pool, region: str, regions: Regions = EU_US_ASIA, seed: int = 3) -> Pool:
    choice = RegionChoice(regions, {backend.region for backend in pool.backends})
    holder = choice.view(pool, choice.name(region), None, random.Random(seed).random)
    assert holder is not None
    HELD.append(holder)
    return holder.held


def backend(pool: Pool, name: str) -> Backend:
    return next(backend for backend in pool.backends if backend.name == name)


def chosen(pool: Pool, count: int = 1000, avoid: Sequence[Backend] = ()) -> Counter[str]:
    names: Counter[str] = Counter()
    for number in range(count):
        lease = pool.acquire(b"key %d" % number, 0.0, avoid)
        if lease is None:
            names["nobody"] += 1
        else:
            names[lease.backend.name] += 1
            lease.release(Outcome.OK, 0.0)
    return names


@pytest.mark.parametrize("algorithm", POLICIES)
def test_a_region_is_served_by_its_own_and_by_those_of_every_region(algorithm: str) -> None:
    web = pool_of("eu1", "us1", "eu2", "any1", "asia1", algorithm=algorithm)
    assert set(chosen(seen(web, "eu"))) == {"eu1", "eu2", "any1"}
    assert set(chosen(seen(web, "us"))) == {"us1", "any1"}
    assert set(chosen(seen(web, "unknown"))) == {"any1"}
    assert set(chosen(web)) == {"eu1", "eu2", "us1", "any1", "asia1"}


@pytest.mark.parametrize("algorithm", POLICIES)
def test_what_a_region_cannot_take_spills_over_in_proportion_to_the_next_only(algorithm: str) -> None:
    web = pool_of("eu1", "eu2", "eu3", "eu4", "us1", "asia1", algorithm=algorithm)
    eu = seen(web, "eu")
    web.set_ready(backend(web, "eu1"), False)
    assert set(chosen(eu)) == {"eu2", "eu3", "eu4"}  # 75 % are ready, 72 % are enough
    web.set_ready(backend(web, "eu2"), False)
    assert chosen(eu)["us1"] == pytest.approx(300, abs=60)  # 1.4 x 50 % stay
    assert not chosen(eu)["asia1"]
    web.set_ready(backend(web, "eu3"), False)
    assert chosen(eu)["us1"] == pytest.approx(650, abs=60)
    web.set_ready(backend(web, "us1"), False)
    assert chosen(eu)["asia1"] == pytest.approx(650, abs=60)
    web.set_ready(backend(web, "eu4"), False)
    assert chosen(eu) == {"asia1": 1000}
    web.set_ready(backend(web, "asia1"), False)
    assert chosen(eu) == {"nobody": 1000}
    web.set_ready(backend(web, "eu1"), True)
    assert chosen(eu) == {"eu1": 1000}


def test_capacity_is_weight_and_not_the_number_of_backends() -> None:
    web = pool_of("eu1*8", "eu2", "eu3", "us1", algorithm="weighted-round-robin")
    eu = seen(web, "eu")
    web.set_ready(backend(web, "eu2"), False)
    web.set_ready(backend(web, "eu3"), False)
    assert set(chosen(eu)) == {"eu1"}
    web.set_ready(backend(web, "eu1"), False)
    web.set_ready(backend(web, "eu2"), True)
    web.set_ready(backend(web, "eu3"), True)
    assert chosen(eu)["us1"] == pytest.approx(720, abs=60)  # 1.4 x 20 % stay


def test_a_key_has_its_level_and_a_level_that_fails_further_takes_no_more_keys() -> None:
    web = pool_of("eu1", "eu2", "eu3", "eu4", "us1", algorithm="consistent-hash", hash_key=HashKey("header", "x"))
    eu = seen(web, "eu")

    def away() -> set[bytes]:
        found = set()
        for number in range(400):
            lease = eu.acquire(b"user %d" % number, 0.0)
            assert lease is not None
            if lease.backend.region == "us":
                found.add(b"user %d" % number)
            lease.release(Outcome.OK, 0.0)
        return found

    web.set_ready(backend(web, "eu1"), False)
    web.set_ready(backend(web, "eu2"), False)
    half = away()
    assert half == away()
    assert len(half) == pytest.approx(120, abs=40)
    web.set_ready(backend(web, "eu3"), False)
    assert half < away()


def test_the_next_try_stays_in_the_region_while_it_can() -> None:
    web = pool_of("eu1", "eu2", "us1", "asia1")
    eu = seen(web, "eu")
    one, two, us, asia = web.backends
    assert chosen(eu, 10, [one]) == {"eu2": 10}
    assert chosen(eu, 10, [one, two]) == {"us1": 10}
    assert chosen(eu, 10, [one, two, us]) == {"asia1": 10}
    assert chosen(eu, 10, [us]) == {"eu1": 5, "eu2": 5}
    assert chosen(eu, 10, [one, two, us, asia]) == {"nobody": 10}
    assert eu.has_other([one, two])


def test_a_full_region_overflows_to_the_next() -> None:
    web = pool_of("eu1", "us1", limits=2)
    eu = seen(web, "eu")
    leases = [eu.acquire(b"", 0.0) for _ in range(5)]
    assert [lease.backend.name if lease else None for lease in leases] == ["eu1", "eu1", "us1", "us1", None]
    assert eu.may_wait(())


def test_requests_that_must_stay_at_home_wait_for_their_own_only() -> None:
    web = pool_of("eu1", "us1", limits=1)
    eu = seen(web, "eu", Regions(fallback=(("eu", ()),)))
    assert eu.acquire(b"", 0.0) is not None
    assert eu.acquire(b"", 0.0) is None
    assert eu.may_wait(())
    assert seen(web, "us").acquire(b"", 0.0) is not None
    assert web.health is not None
    web.health.update(backend(web, "eu1"), State.UNHEALTHY, BreakerState.CLOSED, None)
    web.rebuild()
    assert not eu.may_wait(())
    assert not eu.has_other(())


def test_without_a_word_about_it_all_others_are_next() -> None:
    web = pool_of("eu1", "us1", "asia1")
    eu = seen(web, "eu", Regions())
    assert chosen(eu, 10) == {"eu1": 10}
    web.set_ready(backend(web, "eu1"), False)
    assert chosen(eu, 10) == {"us1": 5, "asia1": 5}
    assert chosen(seen(web, "unknown", Regions()), 10) == {"us1": 5, "asia1": 5}


def test_backups_keep_to_the_region_as_well() -> None:
    web = pool_of("eu1", "us1", "eu2+", "us2+", "us3+")
    eu = seen(web, "eu", Regions(fallback=(("eu", ("us",)),)))
    web.set_ready(backend(web, "eu1"), False)
    assert chosen(eu, 10) == {"us1": 10}
    web.set_ready(backend(web, "us1"), False)
    assert chosen(eu, 10) == {"eu2": 10}
    web.set_ready(backend(web, "eu2"), False)
    assert chosen(eu, 10) == {"us2": 5, "us3": 5}


def test_regions_that_nobody_names_share_one_view() -> None:
    web = pool_of("eu1", "us1")
    choice = RegionChoice(EU_US_ASIA, ["eu", "us"])
    assert [choice.name(region) for region in ("eu", "unknown", "asia", "made-up", "made-up-2")] == [
        "eu",
        "unknown",
        "asia",
        "*",
        "*",
    ]
    holder = choice.view(web, "*", None, random.random)
    assert holder is not None and holder is choice.view(web, "*", None, random.random)


def test_a_pool_without_regions_is_used_as_it_is() -> None:
    assert RegionChoice(EU_US_ASIA, ()).view(pool_of("any1", "any2"), "eu", None, random.random) is None


def test_a_session_stays_where_it_is() -> None:
    web = pool_of("eu1", "us1", affinity=SessionAffinity(enabled=True, mode="cookie", secret="s"))
    eu, us = seen(web, "eu"), seen(web, "us")
    assert web.affinity is not None
    assert web.affinity.tokens is not None
    token = next(token for token, bound in web.affinity.by_token.items() if bound.name == "us1")
    lease = eu.acquire(SessionLookup(b"", token), 0.0)
    assert lease is not None
    assert lease.backend.name == "us1"
    assert us.affinity is eu.affinity
