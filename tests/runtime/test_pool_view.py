"""A view of a pool chooses for itself, and everything else is the pool's."""

from __future__ import annotations

import random
from collections import Counter

from balance.balancing import POLICIES, Needs
from balance.config.model import BackendConfig, HashKey
from balance.holder import Holder
from balance.http1.head import RequestFields
from balance.model import Address, Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.backups import Backups
from balance.runtime.pool import Pool
from balance.runtime.pool_view import PoolView, view_by, view_of
from balance.runtime.row import Row


def pool(weights: tuple[int, ...] = (1, 1, 1)) -> Pool:
    row = Row(memoryview(bytearray(8 * counters.row_cells(len(weights) + 1))).cast("Q"))
    backends = [
        Backend(BackendConfig(f"b{number}", Address("127.0.0.1", number), weight), number)
        for number, weight in enumerate(weights, 1)
    ]
    return Pool("web", backends, "round-robin", POLICIES["round-robin"](random.Random(1).random), row)


def weighted(of: Pool, members: list[Backend] | None = None) -> Holder[Pool]:
    policy = POLICIES["weighted-round-robin"](random.Random(1).random)
    return view_of(of, ("weighted", members and len(members)),
                   lambda pool: PoolView(pool, "weighted-round-robin", policy, HashKey(), members=members))  # fmt: skip


def shares(of: Pool, count: int = 60) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(count):
        lease = of.acquire(b"", 0.0)
        assert lease is not None
        found[lease.backend.name] += 1
        lease.release(Outcome.OK, 0.0)
    return found


def test_it_chooses_by_its_own_algorithm_and_the_pool_by_the_pools() -> None:
    web = pool((3, 2, 1))
    view = weighted(web).held
    assert shares(view) == {"b1": 30, "b2": 20, "b3": 10}
    assert shares(web) == {"b1": 20, "b2": 20, "b3": 20}


def test_it_follows_the_ready_set_and_leases_are_the_pools() -> None:
    web = pool()
    holder = weighted(web)
    view = holder.held
    web.set_ready(web.backends[0], False)
    assert shares(view) == {"b2": 30, "b3": 30}
    assert view.ready == web.ready
    lease = view.acquire(b"", 0.0)
    assert lease is not None
    assert lease.backend.load.active == 1
    assert lease.backend in web.backends


def test_it_may_choose_among_some_only() -> None:
    web = pool()
    holder = weighted(web, [web.backends[0], web.backends[2]])
    view = holder.held
    assert shares(view) == {"b1": 30, "b3": 30}
    web.set_ready(web.backends[0], False)
    assert shares(view) == {"b3": 60}
    assert not view.has_other([web.backends[2]])
    assert web.has_other([web.backends[2]])


def test_it_is_shared_while_it_is_in_use_and_goes_afterwards() -> None:
    web = pool()
    holder = weighted(web)
    assert weighted(web) is holder
    del holder
    assert not list(web.views.values())


LATENCY = "least-response-time"


def test_leases_record_what_the_policies_of_all_views_need() -> None:
    web = pool()
    before = web.acquire(b"", 0.0)
    view = view_by(web, LATENCY, HashKey(), random.Random(1).random)
    other = view_by(web, "random", HashKey(), random.Random(1).random)
    assert Needs.LATENCY in web.needs
    for of in (web, view.held, other.held):
        lease = of.acquire(b"", 0.0)
        assert lease is not None
        backend = lease.backend
        unknown = backend.load.expected_cost_s(3.0)
        lease.release(Outcome.OK, 3.0)
        assert backend.load.expected_cost_s(3.0) > unknown
    assert before is not None
    before.release(Outcome.OK, 3.0)  # by the terms that it began with


def test_a_view_by_another_algorithm_has_backups_and_finds_its_key() -> None:
    row = Row(memoryview(bytearray(8 * counters.row_cells(4))).cast("Q"))
    backends = [
        Backend(BackendConfig(f"b{number}", Address("127.0.0.1", number), backup=number > 1), number) for number in (1, 2, 3)
    ]
    rand = random.Random(1).random
    web = Pool("web", backends, "round-robin", POLICIES["round-robin"](rand), row,
               backups=Backups(backends[1:], POLICIES["round-robin"](rand)))  # fmt: skip
    holder = view_by(web, "consistent-hash", HashKey("header", "x-user"), rand)
    assert holder is view_by(web, "consistent-hash", HashKey("header", "x-user"), rand)
    view = holder.held
    assert holder is not view_by(web, "consistent-hash", HashKey("header", "x-other"), rand)
    fields = RequestFields()
    fields.forward = b"X-User: anna\r\n"
    assert view.key_of is not None
    assert view.key_of(fields, b"/", "") == b"anna"
    assert web.key_of is None
    web.set_ready(backends[0], False)
    assert len({lease.backend for _ in range(9) if (lease := view.acquire(b"anna", 0.0))}) == 1
    assert {lease.backend for _ in range(9) if (lease := web.acquire(b"", 0.0))} == set(backends[1:])
