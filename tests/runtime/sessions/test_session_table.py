"""The table of sessions: found through every worker, forgotten in time, and of one size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.config.model import BackendConfig
from balance.model import Address
from balance.runtime.backend import Backend
from balance.runtime.sessions.session_table import CELLS, WAYS, Sessions

TTL_S = 100.0
HALF_A_YEAR_S = 1 << 24


def backends(count: int = 3, first_slot: int = 1) -> list[Backend]:
    return [Backend(BackendConfig(f"b{n}", Address("a", 1)), first_slot + n) for n in range(count)]


def table(
    cells: list[int] | None = None,
    some: list[Backend] | None = None,
    count: int = 4096,
    pool: str = "web",
    secret: bytes = b"k",
) -> Sessions:
    return Sessions(cells if cells is not None else [0] * count, count, secret, pool, some or backends(), TTL_S)


def test_a_session_is_found_by_whoever_shares_the_table() -> None:
    cells, some = [0] * 4096, backends()
    one, two = table(cells, some), table(cells, some)
    one.keep(b"client", some[1], 10.0)
    assert two.find(b"client", 20.0) is some[1]
    two.keep(b"client", some[2], 30.0)
    assert one.find(b"client", 31.0) is some[2]
    assert one.find(b"another", 31.0) is None


def test_a_session_dies_after_its_time_without_use() -> None:
    some = backends()
    sessions = table(some=some)
    sessions.keep(b"client", some[0], 0.0)
    assert sessions.find(b"client", 90.0) is some[0]
    assert sessions.find(b"client", 180.0) is some[0]
    assert sessions.find(b"client", 281.0) is None


def test_a_pool_does_not_see_another_s_sessions() -> None:
    cells, mine, theirs = [0] * 4096, backends(), backends(first_slot=4)
    web, api = table(cells, mine), table(cells, theirs, pool="api")
    for number in range(500):
        web.keep(b"%d" % number, mine[0], 0.0)
    assert [api.find(b"%d" % number, 0.0) for number in range(500)] == [None] * 500


def test_where_a_session_lies_follows_from_a_secret() -> None:
    def places(secret: bytes) -> list[int]:
        cells = [0] * 4096
        sessions = table(cells, secret=secret)
        sessions.keep(b"client", backends()[0], 0.0)
        return [at for at, cell in enumerate(cells) if cell]

    assert places(b"one") != places(b"two")


def test_a_million_clients_take_no_more_room_than_one_and_the_last_are_known() -> None:
    cells, some = [0] * 1024, backends()
    sessions = table(cells, some, count=1024)
    for number in range(20_000):
        sessions.keep(b"client %d" % number, some[number % 3], number / 100)
    assert len(cells) == 1024
    known = sum(sessions.find(b"client %d" % number, 200.0) is some[number % 3] for number in range(19_800, 20_000))
    assert known > 190


def test_in_a_full_bucket_the_one_used_least_recently_is_forgotten() -> None:
    some = backends()
    sessions = table([0] * WAYS, some, count=WAYS)
    for number in range(WAYS):
        sessions.keep(b"%d" % number, some[0], float(number))
    assert sessions.find(b"0", 10.0) is some[0]  # a use
    sessions.keep(b"new", some[1], 11.0)
    assert sessions.find(b"1", 12.0) is None
    assert [sessions.find(name, 12.0) is not None for name in (b"0", b"2", b"3", b"new")] == [True] * 4


def test_a_backend_that_is_gone_is_nobody_s() -> None:
    cells, some = [0] * 4096, backends()
    table(cells, some).keep(b"client", some[2], 0.0)
    assert table(cells, some[:2]).find(b"client", 0.0) is None


@pytest.mark.parametrize("uptime_s", [0.0, HALF_A_YEAR_S - 50.0, 3.0 * HALF_A_YEAR_S - 1.0])
def test_the_clock_may_stand_anywhere_and_run_over(uptime_s: float) -> None:
    some = backends()
    sessions = table(some=some)
    sessions.keep(b"client", some[0], uptime_s)
    assert sessions.find(b"client", uptime_s + 99.0) is some[0]
    assert sessions.find(b"client", uptime_s + 300.0) is None


def test_a_worker_that_is_a_moment_behind_still_finds_it() -> None:
    some = backends()
    sessions = table(some=some)
    sessions.keep(b"client", some[0], 100.0)
    assert sessions.find(b"client", 99.0) is some[0]


def test_a_slot_beyond_what_a_cell_holds_is_not_kept() -> None:
    cells, far = [0] * 4096, backends(first_slot=1 << 18)
    sessions = table(cells, far)
    sessions.keep(b"client", far[0], 0.0)
    assert sessions.find(b"client", 0.0) is None
    assert not any(cells)  # nor does it spill into what names the client


@pytest.mark.parametrize("slot", [1, (1 << 18) - 1])
@pytest.mark.parametrize("now", [0.0, HALF_A_YEAR_S - 1.0])
def test_at_the_limits_of_a_cell_each_client_still_finds_its_backend(slot: int, now: float) -> None:
    cells = memoryview(bytearray(8 * 4096)).cast("Q")
    (some,) = backends(1, slot)
    sessions = Sessions(cells, 4096, b"k", "web", [some], TTL_S)
    for number in range(100):
        sessions.keep(b"%d" % number, some, now)
    assert [sessions.find(b"%d" % number, now + TTL_S) for number in range(100)] == [some] * 100
    assert sessions.find(b"another", now) is None


def test_a_session_that_shall_live_for_years_dies_before_the_clock_of_a_cell_runs_over() -> None:
    some = backends()
    sessions = Sessions([0] * WAYS, WAYS, b"k", "web", some, 10.0 * HALF_A_YEAR_S)
    sessions.keep(b"client", some[0], 0.0)
    assert sessions.find(b"client", HALF_A_YEAR_S * 0.6) is None
    assert sessions.find(b"client", HALF_A_YEAR_S * 0.4) is some[0]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(0, 5)), max_size=200))
@settings(max_examples=100)
def test_what_is_found_is_what_was_kept_last(steps: list[tuple[int, int, int]]) -> None:
    cells, some, kept, now = [0] * 256, backends(), dict[int, int](), 0.0
    workers = [table(cells, some, count=256) for _ in range(3)]
    for client, backend, wait in steps:
        now += wait
        found = workers[client % 3].find(b"%d" % client, now)
        assert found is None or found is some[kept[client]]
        workers[backend].keep(b"%d" % client, some[backend], now)
        kept[client] = backend
        assert workers[wait % 3].find(b"%d" % client, now) is some[backend]
        assert all(0 <= cell < 1 << 64 for cell in cells)


def test_the_table_has_whole_buckets() -> None:
    assert CELLS % WAYS == 0
