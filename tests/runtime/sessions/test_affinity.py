"""Sessions: where they stay, and what makes them move."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import (
    BackendConfig,
    CircuitBreaker,
    Config,
    HealthCheck,
    ListenerConfig,
    PassiveChecks,
    PoolConfig,
    SessionAffinity,
)
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.http1.head import RequestFields
from balance.model import Address, Mode, Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.lease import Lease
from balance.runtime.pool_health import PoolHealth, needs_health
from balance.runtime.row import Row
from balance.runtime.sessions.affinity import Affinity
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.runtime.snapshot import backend_slots, build

MODES = ("cookie", "source-ip", "header")


class Place:
    """A pool, and clients that keep what they are told."""

    def __init__(
        self, mode: str = "source-ip", count: int = 4, limit: int = 0, shared: Shared | None = None, **given: Any
    ) -> None:
        backends = tuple(BackendConfig(f"b{n}", Address("a", 1), max_connections=limit) for n in range(1, count + 1))
        affinity = SessionAffinity(enabled=True, mode=mode, header="X-Session" if mode == "header" else "", ttl_s=60.0)
        given.setdefault("algorithm", "random")
        config = Config(
            (ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", backends, affinity=affinity, **given),)
        )
        slots = backend_slots(config)
        self.view = memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q")
        shared = shared or Shared.with_nobody(self.view)
        pool = build(config, slots, Row(self.view), random.Random(7).random, shared).pools["web"]
        assert pool.affinity is not None
        assert pool.health is not None
        self.pool = pool
        self.affinity: Affinity = pool.affinity
        self.health: PoolHealth = pool.health
        self.mode = mode
        self.cookies: dict[int, bytes] = {}
        self._remembered: dict[bytes, RequestFields] = {}

    def fields(self, client: int) -> RequestFields:
        """The same for the same lines, as a reader of requests remembers them."""
        lines = b""
        if self.mode == "header":
            lines = b"Accept: a\r\nX-Session: %d\r\n" % client
        elif self.mode == "cookie" and client in self.cookies:
            lines = b"Cookie: a=b; LOAD-BALANCING_SESSION=%b\r\n" % self.cookies[client]
        fields = self._remembered.setdefault(lines, RequestFields())
        fields.forward = lines
        return fields

    def key(self, client: int) -> bytes:
        assert self.pool.key_of is not None
        return self.pool.key_of(self.fields(client), b"/", f"10.0.{client // 250}.{client % 250}")

    def lease(self, client: int, now: float = 0.0, avoid: tuple[Backend, ...] = ()) -> Lease | None:
        """As an exchange asks: what is known first."""
        if self.mode == "cookie" and not avoid and (lease := self.pool.acquire_by_cookie(self.fields(client), now)) is not None:
            return lease
        key = self.key(client)
        lease = self.pool.acquire(key, now, avoid)
        if lease is not None and isinstance(key, SessionLookup) and key.is_moved and self.affinity.tokens is not None:
            self.cookies[client] = self.affinity.tokens.token(lease.backend)
        return lease

    def ask(self, client: int, now: float = 0.0, avoid: tuple[Backend, ...] = ()) -> str:
        lease = self.lease(client, now, avoid)
        if lease is None:
            return "nobody"
        lease.release(Outcome.OK, now)
        return lease.backend.name

    def see(self, name: str, state: State = State.HEALTHY, phase: BreakerState = BreakerState.CLOSED) -> None:
        self.health.update(self.named(name), state, phase, 0.0)
        self.pool.rebuild()

    def named(self, name: str) -> Backend:
        return next(backend for backend in self.pool.backends if backend.name == name)

    @property
    def begun(self) -> int:
        return sum(self.view[backend.block + counters.SESSIONS] for backend in self.pool.backends)


@pytest.mark.parametrize("algorithm", POLICIES)
@pytest.mark.parametrize("mode", MODES)
def test_a_client_finds_its_backend_again_under_every_algorithm(mode: str, algorithm: str) -> None:
    place = Place(mode, algorithm=algorithm)
    first = [place.ask(client) for client in range(60)]
    assert len(set(first)) > 1
    for _ in range(5):
        assert [place.ask(client) for client in range(60)] == first


@pytest.mark.parametrize("mode", MODES)
def test_a_session_stays_while_its_backend_drains_and_nothing_new_goes_there(mode: str) -> None:
    place = Place(mode)
    first = [place.ask(client) for client in range(40)]
    place.see("b1", State.DRAINING)
    assert [place.ask(client) for client in range(40)] == first
    assert "b1" in first
    assert "b1" not in {place.ask(client) for client in range(100, 160)}


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (State.UNHEALTHY, BreakerState.CLOSED),
        (State.EJECTED, BreakerState.CLOSED),
        (State.MAINTENANCE, BreakerState.CLOSED),
        (State.HEALTHY, BreakerState.OPEN),
        (State.DRAINING, BreakerState.OPEN),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_session_moves_when_its_backend_is_not_well_and_stays_where_it_went(
    mode: str, state: State, phase: BreakerState
) -> None:
    place = Place(mode, breaker=CircuitBreaker(enabled=True))
    first = {client: place.ask(client) for client in range(40)}
    place.see("b1", state, phase)
    after = {client: place.ask(client) for client in range(40)}
    assert "b1" not in after.values()
    assert all(after[client] == name for client, name in first.items() if name != "b1")
    place.see("b1")
    assert {client: place.ask(client) for client in range(40)} == after


def test_a_cookie_seen_before_leads_where_it_would_have_led_anyway() -> None:
    place = Place("cookie", count=2, limit=2, breaker=CircuitBreaker(enabled=True))
    home = place.ask(1)
    fields = place.fields(1)
    assert place.pool.acquire_by_cookie(fields, 0.0) is None  # not looked at yet
    assert place.ask(1) == home
    for state, phase in itertools.product(State, BreakerState):
        place.see(home, state, phase)
        lease = place.pool.acquire_by_cookie(fields, 0.0)
        assert (lease is not None) == (state.is_ready and phase is BreakerState.CLOSED), (state, phase)
        if lease is not None:
            assert lease.backend.name == home
            lease.release(Outcome.OK, 0.0)
    place.see(home)
    held = [place.pool.acquire_by_cookie(fields, 0.0) for _ in range(3)]
    assert [lease.backend.name if lease is not None else "full" for lease in held] == [home, home, "full"]


def test_while_a_breaker_is_half_open_or_a_backend_is_tried_sessions_are_no_trials() -> None:
    place = Place(breaker=CircuitBreaker(enabled=True), count=2)
    client = next(client for client in range(20) if place.ask(client) == "b1")
    place.see("b1", State.RETURNING)
    held = [place.lease(client) for _ in range(6)]
    assert Counter(lease.backend.name for lease in held if lease)["b1"] <= 1


@pytest.mark.parametrize("mode", MODES)
def test_a_request_whose_backend_is_full_goes_elsewhere_and_its_session_stays(mode: str) -> None:
    place = Place(mode, limit=1, count=2)
    home = place.ask(1)
    held = place.lease(1)
    assert held is not None
    elsewhere = place.lease(1)
    assert elsewhere is not None
    assert elsewhere.backend is not held.backend
    assert place.lease(1) is None
    assert place.pool.why_nobody is Why.LIMIT
    for lease in (held, elsewhere):
        lease.release(Outcome.OK, 0.0)
    assert [place.ask(1) for _ in range(5)] == [home] * 5
    assert [place.view[backend.block + counters.ABORTED] for backend in place.pool.backends] == [0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_a_request_that_failed_to_connect_takes_its_session_along(mode: str) -> None:
    place = Place(mode, count=2)
    home = place.named(place.ask(1))
    other = place.ask(1, avoid=(home,))
    assert other != home.name
    assert place.ask(1) == other


@pytest.mark.parametrize("mode", ["source-ip", "header"])
def test_sessions_are_shared_by_workers_and_outlive_them(mode: str) -> None:
    view = memoryview(bytearray(8 * counters.row_cells(9))).cast("Q")
    shared = Shared.with_nobody(view)
    one, two = Place(mode, shared=shared), Place(mode, shared=shared)
    first = [one.ask(client) for client in range(50)]
    assert [two.ask(client) for client in range(50)] == first
    assert [Place(mode, shared=shared).ask(client) for client in range(50)] == first
    assert (one.begun, two.begun) == (50, 0)


@pytest.mark.parametrize("mode", ["source-ip", "header"])
def test_a_session_that_was_not_used_for_its_time_is_a_new_one(mode: str) -> None:
    place = Place(mode)
    place.ask(1, 0.0)
    place.ask(1, 59.0)
    place.ask(1, 110.0)
    assert place.begun == 1
    place.ask(1, 172.0)
    assert place.begun == 2


def test_who_shows_nothing_is_sent_anywhere_and_not_remembered() -> None:
    place = Place("header")
    assert place.pool.key_of is not None
    key = place.pool.key_of(RequestFields(), b"/", "10.0.0.1")
    assert len({lease.backend.name for _ in range(40) if (lease := place.pool.acquire(key, 0.0))}) == 4
    assert place.begun == 0


def test_the_policy_still_gets_its_key() -> None:
    place = Place("cookie", algorithm="source-ip", count=8)
    plain = [place.ask(client) for client in range(30)]
    place.cookies.clear()
    assert [place.ask(client) for client in range(30)] == plain


def test_in_panic_sessions_stay_with_the_unwell() -> None:
    place = Place(health_check=HealthCheck(enabled=True, panic_threshold=90))
    first = [place.ask(client) for client in range(40)]
    place.see("b1", State.UNHEALTHY)
    assert place.health.is_panicking
    assert [place.ask(client) for client in range(40)] == first


OFF = HealthCheck(passive=PassiveChecks(enabled=False))


def test_pools_that_keep_sessions_are_watched() -> None:
    assert needs_health(PoolConfig("web", (), health_check=OFF, affinity=SessionAffinity(enabled=True)))
    assert not needs_health(PoolConfig("web", (), health_check=OFF))
