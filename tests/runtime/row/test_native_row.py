"""The native row beside its definition: every cell after every sequence of calls; and what only C can get wrong."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.runtime import counters
from balance.runtime.row import IS_NATIVE, Row
from balance.runtime.row.pure_row import Row as PureRow

SLOTS = 4
CELLS = counters.row_cells(SLOTS)
BOUNDS = [counters.TIME_BUCKETS_US, (), (1000,), (1, 2, 3), tuple(range(10, 150, 10))]

slots = st.integers(0, SLOTS - 1)
blocks = slots.map(counters.block)
# Where buckets end, and where numbers end.
edges = [bound + by for bound in (*counters.TIME_BUCKETS_US, *counters.SIZE_BUCKETS) for by in (-1, 0, 1)]
times = st.one_of(st.sampled_from(edges), st.integers(0, 2**40))
sizes = st.one_of(st.sampled_from(edges), st.integers(0, 2**63 - 1))
methods = st.one_of(st.sampled_from(list(counters.METHOD_CODES)), st.binary(max_size=9))
statuses = st.integers(0, 999)
route_slots = st.integers(0, counters.MAX_ROUTE_SLOT)
keys = st.builds(counters.series_key, slots, st.integers(0, counters.FAILED_TRIES), statuses, route_slots)
routes = st.one_of(st.just(0), route_slots.map(counters.series_route))
some_times, some_blocks = st.one_of(st.just(-1), times), st.one_of(st.just(0), blocks)
calls = st.one_of(
    st.tuples(st.just("count_request"), st.tuples(keys)),
    st.tuples(
        st.just("count_exchange"),
        st.tuples(slots, routes, methods, statuses, st.integers(0, 63), times, some_times, sizes, sizes, some_blocks),
    ),
    st.tuples(st.just("observe_time"), st.tuples(blocks.map(lambda block: block + counters.UPSTREAM_TIME), times)),
    st.tuples(st.just("observe_size"), st.tuples(st.sampled_from([counters.REQUEST_SIZE, counters.RESPONSE_SIZE]), sizes)),
    st.tuples(st.just("count_one"), st.tuples(st.integers(0, CELLS - 1))),
    st.tuples(st.just("count_moved"), st.tuples(blocks, sizes, sizes)),
    st.tuples(
        st.just("note_exemplar"),
        st.tuples(slots, times, st.binary(min_size=16, max_size=16), st.floats(0, 4e9, allow_nan=False)),
    ),
)  # fmt: skip
anything = st.one_of(
    st.integers(), st.integers(-3, 3), st.integers(CELLS - 70, CELLS + 1), st.booleans(), st.none(), st.binary(max_size=20),
    st.floats(), st.text(max_size=2),
)  # fmt: skip
METHODS = {"count_request": 1, "count_exchange": 10, "observe_time": 2, "observe_size": 2, "count_one": 1, "count_moved": 3,
           "note_exemplar": 4}  # fmt: skip


def cells() -> memoryview:
    return memoryview(bytearray(8 * CELLS)).cast("Q")


def outcome(call: Callable[..., object], arguments: tuple[Any, ...]) -> object:
    """What it returns, or the kind of its error."""
    try:
        return call(*arguments)
    except Exception as error:
        return type(error)


@given(st.lists(calls, max_size=40), st.sampled_from(BOUNDS), st.dictionaries(st.integers(0, CELLS - 1), st.just(2**64 - 2)))
def test_every_cell_is_as_the_definition_has_it(
    native_row: ModuleType, done: list[tuple[str, tuple[Any, ...]]], bounds: tuple[int, ...], full: dict[int, int]
) -> None:
    pure, native = PureRow(cells(), bounds), native_row.Row(cells(), bounds)
    for cell, value in full.items():  # cells that soon leave their 64 bits
        if cell < counters.block(SLOTS):
            pure.cells[cell] = native.cells[cell] = value
    for name, arguments in done:
        assert outcome(getattr(native, name), arguments) == outcome(getattr(pure, name), arguments), (name, arguments)
        assert native.cells == pure.cells, (name, arguments)
    for name, arguments in done:  # a successor of either kind goes on with the other's
        successor, other = native_row.Row(pure.cells, bounds), PureRow(native.cells, bounds)
        outcome(getattr(successor, name), arguments)
        outcome(getattr(other, name), arguments)
        assert native.cells == pure.cells, (name, arguments)


def test_upstream_times_on_a_bound_are_in_the_bucket_that_it_ends(native_row: ModuleType) -> None:
    for request_us in (500, 501, 1000, 1001, 10_000_001):
        for upstream_us in (0, 499, 500, 501, 1000, 1001):
            pure, native = PureRow(cells()), native_row.Row(cells())
            for row in (pure, native):
                row.count_exchange(1, 0, b"GET", 200, 0, request_us, upstream_us, 1, 1, 0)
            assert native.cells == pure.cells


def test_more_series_than_there_is_room_for_leave_the_same_cells(native_row: ModuleType) -> None:
    pure, native = PureRow(cells()), native_row.Row(cells())
    for number in range(len(counters.series_pairs(pure.cells)) + 3):
        key = counters.series_key(number * 7919 % 2**22, number % 9, 200 + number % 300, number)
        for row in (pure, native, pure, native):
            row.count_request(key)
    assert native.cells == pure.cells
    assert native_row.Row(native.cells).count_request(key) is None
    assert native.cells[counters.SERIES_LOST] == 7


@given(st.sampled_from(list(METHODS)), st.data())
def test_a_call_that_makes_no_sense_counts_nothing_or_what_the_definition_counts(
    native_row: ModuleType, name: str, data: st.DataObject
) -> None:
    wanted = METHODS[name] + data.draw(st.sampled_from([0, 0, 0, 1, -1]))
    arguments = tuple(data.draw(st.lists(anything, min_size=wanted, max_size=wanted)))
    native = native_row.Row(cells())
    if isinstance(outcome(getattr(native, name), arguments), type):
        return  # it raised; that nothing lies outside of the row is what a sanitizer sees
    pure = PureRow(cells())
    getattr(pure, name)(*arguments)
    assert native.cells == pure.cells


@pytest.mark.parametrize(
    "arguments",
    [
        (SLOTS, 0, b"GET", 200, 0, 1, 1, 1, 1, 0),
        (-1, 0, b"GET", 200, 0, 1, 1, 1, 1, 0),
        (2**62, 0, b"GET", 200, 0, 1, 1, 1, 1, 0),
        (1, 0, b"GET", 1024, 0, 1, 1, 1, 1, 0),
        (1, 0, b"GET", 200, 64, 1, 1, 1, 1, 0),
        (1, 0, b"GET", 200, -1, 1, 1, 1, 1, 0),
        (1, 0, b"GET", 200, 0, 1, 1, 1, 1, CELLS - 63),
        (1, 0, b"GET", 200, 0, 1, 1, 1, 1, -64),
    ],
)
def test_what_the_row_has_no_cell_for_raises_before_anything_is_written(
    native_row: ModuleType, arguments: tuple[Any, ...]
) -> None:
    row = native_row.Row(cells())
    with pytest.raises(IndexError):
        row.count_exchange(*arguments)
    assert not any(row.cells)


@pytest.mark.parametrize(("name", "count"), METHODS.items())
def test_arguments_are_as_many_as_the_definition_takes(native_row: ModuleType, name: str, count: int) -> None:
    for row in (native_row.Row(cells()), PureRow(cells())):
        for other in (count - 1, count + 1):
            with pytest.raises(TypeError):
                getattr(row, name)(*[1] * other)


@pytest.mark.parametrize(
    "memory",
    [
        memoryview(bytes(8 * CELLS)).cast("Q"),
        memoryview(bytearray(8 * CELLS)),
        memoryview(bytearray(8 * CELLS)).cast("q"),
        memoryview(bytearray(8 * CELLS)).cast("d"),
        memoryview(bytearray(16 * CELLS)).cast("Q")[::2],
        memoryview(bytearray(8 * CELLS + 8))[4:-4].cast("Q"),
        memoryview(bytearray(80)).cast("Q"),
        memoryview(bytearray(8 * CELLS + 8)).cast("Q"),
        None,
    ],
    ids=["read-only", "bytes", "signed", "floats", "with gaps", "not aligned", "short", "odd", "none"],
)
def test_only_aligned_cells_that_it_may_write_make_a_row(native_row: ModuleType, memory: object) -> None:
    with pytest.raises((ValueError, BufferError, TypeError)):
        native_row.Row(memory)


@pytest.mark.parametrize("bounds", [(1,) * 15, (2**63,), ("1",), 5])
def test_bounds_are_numbers_and_fourteen_at_most(native_row: ModuleType, bounds: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        native_row.Row(cells(), bounds)


def test_a_row_does_not_hold_its_memory_and_sees_its_release(native_row: ModuleType) -> None:
    memory = bytearray(8 * CELLS)
    view = memoryview(memory).cast("Q")
    row, definition = native_row.Row(view), PureRow(view)
    row.count_request(counters.NO_ROUTE)
    view.release()
    memory.clear()
    for name, arguments in (
        ("count_request", (counters.NO_ROUTE,)),
        ("count_exchange", (1, 0, b"GET", 200, 0, 1, 1, 1, 1, 0)),
        ("observe_time", (counters.REQUEST_SIZE, 1)),
        ("observe_size", (counters.REQUEST_SIZE, 1)),
        ("count_one", (0,)),
        ("count_moved", (0, 1, 1)),
        ("note_exemplar", (1, 1, bytes(16), 1.0)),
    ):
        for either in (row, definition):
            with pytest.raises(ValueError, match="released"):
                getattr(either, name)(*arguments)


def test_a_row_that_its_own_memory_refers_to_is_collected(native_row: ModuleType) -> None:
    class Memory(bytearray):
        row: Any = None

    for made in (native_row.Row, PureRow):
        memory = Memory(8 * CELLS)
        memory.row = made(memoryview(memory).cast("Q"))
        gone = weakref.ref(memory)
        del memory
        gc.collect()
        assert gone() is None


def test_rows_leave_no_memory_behind(native_row: ModuleType) -> None:
    view = cells()
    tracemalloc.start()
    try:
        for turns in (10, 100):
            for _ in range(turns):
                row = native_row.Row(view)
                for number in range(200):
                    row.count_request(counters.NO_ROUTE + number)
                del row
            held = tracemalloc.get_traced_memory()[0]
            if turns == 10:
                before = held
    finally:
        tracemalloc.stop()
    assert held - before < 8192  # one row's table


def test_rows_and_calls_leave_no_references_behind(native_row: ModuleType) -> None:
    view, method, number = cells(), b"BREW " * 3, 10**15
    before = [sys.getrefcount(one) for one in (view, method, number, counters.TIME_BUCKETS_US, native_row.Row)]
    for _ in range(50):
        row = native_row.Row(view, counters.TIME_BUCKETS_US)
        row.count_exchange(1, number, method, 200, 0, number, number, number, number, 0)
        outcome(row.count_exchange, (99, number, method, 200, 0, number, number, number, number, 0))
        outcome(native_row.Row, (view, (number, "x")))
    del row
    assert [sys.getrefcount(one) for one in (view, method, number, counters.TIME_BUCKETS_US, native_row.Row)] == before


def test_neither_a_class_nor_a_row_can_be_bent(native_row: ModuleType) -> None:
    row = native_row.Row(cells())
    with pytest.raises(AttributeError):
        row.cells = cells()
    with pytest.raises(TypeError):
        native_row.Row.cells = None
    with pytest.raises(TypeError):
        type("Other", (native_row.Row,), {})


def test_it_was_built_for_the_layout_of_the_board(native_row: ModuleType) -> None:
    assert {name: getattr(counters, name) for name in native_row.LAYOUT} == native_row.LAYOUT


def test_one_that_was_built_for_another_layout_is_refused() -> None:
    code = (
        "import sys, types\n"
        "stale = types.ModuleType('balance.runtime.row.native_row')\n"
        "stale.__file__, stale.LAYOUT, stale.Row = 'native_row.so', {'BLOCK': 48, 'WHY': 32}, object\n"
        "sys.modules[stale.__name__] = stale\n"
        "import balance.runtime.row\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: native_row.so was built for another layout of the board: BLOCK" in done.stderr


def test_the_row_is_native_where_the_build_is() -> None:
    assert (Row is PureRow) is not IS_NATIVE
