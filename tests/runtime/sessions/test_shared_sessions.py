"""Sessions that several machines share: what is asked, what is believed, and what a failure means."""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Callable, Sequence

import pytest

from balance.config.model import BackendConfig, Config, ListenerConfig, PoolConfig, SessionAffinity
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.http1.head import RequestFields
from balance.model import Address, Mode, Outcome
from balance.runtime import counters
from balance.runtime.health_gate import Shared
from balance.runtime.row import Row
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.runtime.sessions.session_store import NO_ANSWER, Answer, Found
from balance.runtime.sessions.session_table import CELLS
from balance.runtime.sessions.shared_sessions import FRESH_S, MAX_RECENT, SharedSessions, Step
from balance.runtime.snapshot import backend_slots, build

NAME = "LOAD-BALANCING_SESSION"
MADE_UP = "m" * 22


class Store:
    """The store, as all machines see it; answers when it is told to."""

    def __init__(self, *, denies: bool = False) -> None:
        self.is_up = True
        self.takes_writes = True
        self.denies = denies
        self.flushed_at = -1.0
        self.sessions: dict[tuple[bytes, str], str] = {}
        self.moves: list[tuple[bytes, str]] = []
        self.extended: list[bytes] = []
        self.asked: list[bytes] = []
        self.expires_in_s = 3600.0
        self.is_silent = False
        self._due: list[Callable[[], None]] = []

    def look_up(self, sessions: Sequence[bytes], pool: str, answer: Callable[[Answer], None]) -> None:
        self.asked += sessions
        self._due.append(lambda: answer(NO_ANSWER if self.is_silent else self._found(sessions, pool)))

    def _found(self, sessions: Sequence[bytes], pool: str) -> Answer:
        for session in sessions:
            if (session, pool) in self.sessions:
                return Found(session, self.sessions[session, pool], self.expires_in_s)
            if any(known == session for known, _ in self.sessions):
                return Found(session, "", self.expires_in_s)
        return None

    def answer(self) -> None:
        due, self._due = self._due, []
        for each in due:
            each()

    def keep(self, session: bytes, pool: str, backend: str, ttl_s: float, *, is_moved: bool) -> None:
        if self.is_up and self.takes_writes:
            self.sessions[session, pool] = backend
            if is_moved:
                self.moves.append((session, backend))

    def extend(self, session: bytes, ttl_s: float) -> None:
        self.extended.append(session)


class Machine:
    """One machine's pool of four backends."""

    def __init__(self, store: Store | None, pool: str = "web", ttl_s: float = 3600.0, seed: int = 1, cells: int = 0) -> None:
        backends = tuple(BackendConfig(f"b{n}", Address("a", 1)) for n in range(1, 5))
        affinity = SessionAffinity(enabled=True, mode="redis", ttl_s=ttl_s)
        config = Config(
            (ListenerConfig("main", (), Mode.HTTP, pool),),
            (PoolConfig(pool, backends, affinity=affinity, algorithm="random"),),
        )
        slots = backend_slots(config)
        self.row = memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q")
        shared = Shared.with_nobody(self.row)
        if cells:
            shared.sessions = array("Q", bytes(8 * cells))
        shared.store = store
        self.store = store
        snapshot = build(config, slots, Row(self.row), random.Random(seed).random, shared)
        self.pool = snapshot.pools[pool]
        self.cookie = snapshot.listeners[0].cookie
        assert self.pool.affinity is not None
        assert self.pool.affinity.shared is not None
        self.shared: SharedSessions = self.pool.affinity.shared

    def share_table(self, other: Machine) -> None:
        """As workers of one machine do."""
        self.shared._table._cells = other.shared._table._cells

    def lookup(self, *cookies: str) -> SessionLookup:
        fields = RequestFields()
        fields.forward = (
            b"Cookie: " + "; ".join(f"{NAME}={cookie}" for cookie in cookies).encode() + b"\r\n" if cookies else b""
        )
        assert self.pool.key_of is not None
        lookup = self.pool.key_of(fields, b"/", "10.0.0.1")
        assert isinstance(lookup, SessionLookup)
        return lookup

    def find(self, *cookies: str, now: float = 100.0) -> tuple[Step, SessionLookup]:
        """As an exchange asks; the step that the request takes in the end."""
        lookup = self.lookup(*cookies)
        later: list[Step] = []
        step = self.shared.ask(lookup, now, later.append)
        if step is Step.WAIT:
            assert self.store is not None
            self.store.answer()
            (step,) = later
        return step, lookup

    def request(self, *cookies: str, now: float = 100.0) -> tuple[str, str | None]:
        """(backend, the cookie that is set)."""
        step, lookup = self.find(*cookies, now=now)
        assert step is Step.GO_ON
        lease = self.pool.acquire(lookup, now)
        assert lease is not None
        lease.release(Outcome.OK, now)
        return lease.backend.name, lookup.session.decode() if lookup.is_moved else None

    def lose(self, name: str) -> None:
        for backend in self.pool.backends:
            if backend.name == name:
                assert self.pool.health is not None
                self.pool.health.update(backend, State.UNHEALTHY, BreakerState.CLOSED, 0.0)
        self.pool.rebuild()

    def sessions_begun(self) -> int:
        return sum(self.row[backend.block + counters.SESSIONS] for backend in self.pool.backends)


def begun(machine: Machine, now: float = 100.0) -> tuple[str, str]:
    name, cookie = machine.request(now=now)
    assert cookie is not None
    return name, cookie


def test_a_session_is_known_to_every_machine_and_asked_for_once() -> None:
    store = Store()
    one, other = Machine(store, seed=1), Machine(store, seed=2)
    for _ in range(20):
        name, cookie = begun(one)
        assert [one.request(cookie), other.request(cookie)] == [(name, None)] * 2
        asked = len(store.asked)
        assert [other.request(cookie, now=101.0 + turn) for turn in range(5)] == [(name, None)] * 5
        assert len(store.asked) == asked
    assert len(store.asked) == 20
    assert (one.sessions_begun(), other.sessions_begun()) == (20, 0)


def test_ids_can_not_be_guessed() -> None:
    machine = Machine(Store())
    ids = {begun(machine)[1] for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"[\w-]{22}", each) for each in ids)


@pytest.mark.parametrize("cookie", [MADE_UP, "short", "x" * 23, "a,b", "ü"])
def test_an_id_that_a_client_made_up_is_replaced(cookie: str) -> None:
    store = Store()
    _, given = Machine(store).request(cookie)
    assert given is not None
    assert given != cookie
    assert list(store.sessions) == [(given.encode(), "web")]


def test_the_one_that_is_known_is_taken_among_several() -> None:
    store = Store()
    machine = Machine(store)
    name, cookie = begun(machine)
    other = Machine(store, seed=2)
    assert other.request(MADE_UP, cookie, "n" * 22) == (name, None)
    assert machine.request(MADE_UP, cookie) == (name, None)


def test_no_more_ids_are_asked_for_than_a_few() -> None:
    store = Store()
    Machine(store).request(*(f"{n:022d}" for n in range(50)))
    assert len(store.asked) == 4


def test_a_session_whose_backend_is_lost_moves_and_stays_moved_everywhere() -> None:
    store = Store()
    one, other = Machine(store, seed=1), Machine(store, seed=2)
    name, cookie = begun(one)
    assert other.request(cookie) == (name, None)
    one.lose(name)
    moved, given = one.request(cookie)
    assert moved != name
    assert given == cookie
    assert store.moves == [(cookie.encode(), moved)]
    other.shared.moved(cookie.encode(), moved, 101.0)
    assert other.request(cookie, now=101.0) == (moved, None)
    assert one.sessions_begun() == 1


def test_a_move_is_followed_in_time_though_the_message_was_lost() -> None:
    store = Store()
    one, other = Machine(store, seed=1), Machine(store, seed=2)
    name, cookie = begun(one)
    assert other.request(cookie) == (name, None)
    one.lose(name)
    moved, _ = one.request(cookie)
    assert other.request(cookie, now=100.0 + FRESH_S) == (name, None)
    assert other.request(cookie, now=101.0 + FRESH_S) == (moved, None)


def test_what_was_learned_before_a_flush_is_asked_for_again() -> None:
    store = Store()
    machine = Machine(store)
    _, cookie = begun(machine)
    store.flushed_at = 100.5
    machine.request(cookie, now=101.0)
    machine.request(cookie, now=102.0)
    assert store.asked == [cookie.encode()]


def test_a_backend_that_was_renamed_or_removed_is_chosen_anew_under_the_same_id() -> None:
    store = Store()
    store.sessions[MADE_UP.encode(), "web"] = "gone"
    name, given = Machine(store).request(MADE_UP)
    assert given == MADE_UP
    assert store.sessions[MADE_UP.encode(), "web"] == name


def test_pools_that_share_a_cookie_keep_their_own_backends_under_one_id() -> None:
    store = Store()
    web, api = Machine(store), Machine(store, pool="api", seed=3)
    first, cookie = begun(web)
    second, given = api.request(cookie)
    assert given == cookie
    assert store.moves == []
    assert store.sessions == {(cookie.encode(), "web"): first, (cookie.encode(), "api"): second}
    assert web.request(cookie) == (first, None)
    assert api.request(cookie) == (second, None)


def test_a_session_in_use_is_extended_before_it_ends() -> None:
    store = Store()
    one, other = Machine(store), Machine(store, seed=2)
    _, cookie = begun(one)
    other.request(cookie)
    assert store.extended == []
    store.expires_in_s = 1799.0
    other.request(cookie, now=200.0)
    assert store.extended == [cookie.encode()]


def test_without_the_store_what_is_known_here_goes_on() -> None:
    store = Store()
    machine = Machine(store)
    name, cookie = begun(machine)
    store.is_up = False
    for now in (101.0, 200.0, 3000.0, 6000.0):  # each use extends it
        assert machine.request(cookie, now=now) == (name, None)
    fresh, new = begun(machine, now=6000.0)
    assert machine.request(new, now=6001.0) == (fresh, None)
    assert store.asked == []


def test_without_the_store_an_unknown_id_goes_to_one_backend_and_is_neither_taken_nor_replaced() -> None:
    store = Store()
    one, other = Machine(store, seed=1), Machine(store, seed=2)
    store.is_up = False
    ids = [f"{n:022d}" for n in range(40)]
    places = {each: one.request(each) for each in ids}
    assert {cookie for _, cookie in places.values()} == {None}
    assert len({name for name, _ in places.values()}) == 4
    assert {each: other.request(each) for each in ids} == places
    store.is_up = True
    assert one.request(ids[0])[1] not in (None, ids[0])


def test_a_move_by_another_worker_is_seen_while_the_store_is_down() -> None:
    store = Store()
    one, other = Machine(store), Machine(store, seed=2)
    other.share_table(one)
    name, cookie = begun(one)
    assert other.request(cookie) == (name, None)
    assert other.request(cookie) == (name, None)
    store.is_up = False
    one.lose(name)
    moved, _ = one.request(cookie)
    assert other.request(cookie) == (moved, None)


def test_what_a_worker_has_seen_lately_is_bounded() -> None:
    machine = Machine(Store())
    cookies = [begun(machine)[1] for _ in range(MAX_RECENT + 50)]
    for cookie in cookies:
        machine.request(cookie)
    assert 0 < len(machine.shared._recent) <= MAX_RECENT


@pytest.mark.long
def test_a_hundred_thousand_users_are_asked_for_once_each_and_memory_is_bounded() -> None:
    """Two requests each: the second is answered by the table. Some are displaced there, where a bucket has five."""
    store = Store()
    machine = Machine(store, cells=CELLS)
    count = 100_000
    for number in range(count):
        store.sessions[b"%022d" % number, "web"] = f"b{number % 4 + 1}"
    for now in (100.0, 101.0):
        for number in range(count):
            lookup = machine.lookup(f"{number:022}")
            step = machine.shared.ask(lookup, now, lambda step: None)
            store.answer()
            assert step in (Step.WAIT, Step.GO_ON)
            assert lookup.bound is not None
            assert lookup.bound.name == f"b{number % 4 + 1}"
    assert count <= len(store.asked) < count * 1.04
    assert len(machine.shared._recent) <= MAX_RECENT


def test_its_fallback_is_a_backend_that_is_ready() -> None:
    store = Store()
    machine = Machine(store)
    store.is_up = False
    name, _ = machine.request(MADE_UP)
    machine.lose(name)
    other, given = machine.request(MADE_UP)
    assert other != name
    assert given is None


def test_a_look_up_that_is_not_answered_in_time_means_the_same() -> None:
    store = Store()
    one, other = Machine(store), Machine(store, seed=2)
    name, cookie = begun(one)
    store.is_silent = True
    assert one.request(cookie, now=200.0) == (name, None)
    assert other.request(cookie, now=200.0)[1] is None


def test_what_began_without_the_store_is_learned_by_it_afterwards() -> None:
    store = Store()
    one, other = Machine(store), Machine(store, seed=2)
    store.is_up = False
    name, cookie = begun(one)
    store.is_up, store.flushed_at = True, 105.0
    assert one.request(cookie, now=110.0) == (name, None)
    assert other.request(cookie, now=110.0) == (name, None)


def test_an_id_that_may_not_have_been_written_is_not_replaced() -> None:
    store = Store()
    one, other = Machine(store), Machine(store, seed=2)
    store.takes_writes = False
    name, cookie = begun(one)
    assert other.request(cookie)[1] is None
    assert one.request(cookie) == (name, None)
    store.takes_writes = True
    store.keep(cookie.encode(), "web", name, 3600.0, is_moved=False)  # as it does now by itself
    assert other.request(cookie) == (name, None)


@pytest.mark.parametrize(
    ("up", "writes", "known", "step"),
    [
        (True, True, True, Step.GO_ON),
        (True, True, False, Step.GO_ON),
        (True, False, True, Step.GO_ON),
        (True, False, False, Step.DENY),
        (False, True, True, Step.DENY),
        (False, True, False, Step.DENY),
    ],
)
def test_deny_refuses_who_needs_the_store(up: bool, writes: bool, known: bool, step: Step) -> None:
    store = Store(denies=True)
    one, other = Machine(store), Machine(store, seed=2)
    name, cookie = begun(one)
    store.is_up, store.takes_writes = up, writes
    assert other.find(*([cookie] if known else []))[0] is step
    assert other.find(cookie if known else MADE_UP)[0] is step
    assert one.request(cookie, now=101.0) == (name, None), "it was confirmed a moment ago"


def test_deny_refuses_a_look_up_that_is_not_answered() -> None:
    store = Store(denies=True)
    store.is_silent = True
    assert Machine(store).find(MADE_UP)[0] is Step.DENY


def test_without_any_store_one_machine_keeps_sessions_by_itself() -> None:
    machine = Machine(None, ttl_s=60.0)
    name, cookie = begun(machine)
    for now in (110.0, 150.0, 200.0):
        assert machine.request(cookie, now=now) == (name, None)
    _, given = machine.request(cookie, now=300.0)  # it has ended
    assert given not in (None, cookie)
    assert machine.request(MADE_UP)[1] not in (None, MADE_UP)


def test_all_tries_of_a_request_have_one_session() -> None:
    store = Store()
    machine = Machine(store)
    _, lookup = machine.find()
    first = machine.pool.acquire(lookup, 100.0)
    assert first is not None
    session = lookup.session
    second = machine.pool.acquire(lookup, 100.0, (first.backend,))
    assert second is not None
    assert lookup.session == session
    assert list(store.sessions.items()) == [((session, "web"), second.backend.name)]
    assert machine.sessions_begun() == 1
    for lease in (first, second):
        lease.release(Outcome.OK, 100.0)


def test_a_message_about_what_is_not_known_here_is_nothing() -> None:
    store = Store()
    machine = Machine(store)
    name, cookie = begun(machine)
    machine.shared.moved(b"z" * 22, "b1", 100.0)
    machine.shared.moved(cookie.encode(), name, 100.0)
    assert machine.request(cookie) == (name, None)
    machine.shared.moved(cookie.encode(), "a newcomer", 100.0)
    machine.request(cookie)
    assert store.asked == [cookie.encode()]


def test_the_cookie_is_as_configured() -> None:
    assert Machine(None).cookie == SessionAffinity().cookie
