"""What of a state document stands in rows, whatever is in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_server import OUT, backend, state

from balance.cli.top.rows import BackendRow, backend_rows, filtered, last_whys, pool_rows, sorted_rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "state", "rate", "pool", "\x1b"]), inner),
    max_leaves=5,
)


def rows(*backends: dict[str, Any]) -> list[BackendRow]:
    return backend_rows(state(*backends), {})


def names(found: Any) -> list[str]:
    return [row.name for row in found]


def test_a_row_has_what_the_document_says() -> None:
    first, second = rows(backend(2, **OUT), backend(1))
    assert names([first, second]) == ["app/b1", "app/b2"]
    assert (first.circuit, first.reason, first.version) == ("closed", "", "v1")
    assert (second.circuit, second.is_out, second.weight) == ("OPEN", True, 3)
    assert second.whys == "connect_refused 12, reset 3"
    assert rows(backend(1, out=True, why="status 503"))[0].reason == "status 503"
    assert rows(backend(1, out=False, why="status 200"))[0].reason == ""


@pytest.mark.parametrize(
    ("column", "is_reversed", "expected"),
    [
        ("", False, ["app/b1", "app/b2", "app/b3"]),
        ("", True, ["app/b3", "app/b2", "app/b1"]),
        ("rate", False, ["app/b3", "app/b1", "app/b2"]),
        ("rate", True, ["app/b1", "app/b3", "app/b2"]),
        ("state", False, ["app/b2", "app/b1", "app/b3"]),
        ("name", True, ["app/b3", "app/b2", "app/b1"]),
        ("p50_s", False, ["app/b1", "app/b3", "app/b2"]),
    ],
)
def test_numbers_are_sorted_from_the_largest_text_from_a(column: str, is_reversed: bool, expected: list[str]) -> None:
    found = rows(backend(1), backend(2, state="draining", rate=None, p50_seconds=None), backend(3))
    assert names(sorted_rows(found, column, is_reversed=is_reversed)) == expected


@pytest.mark.parametrize(
    ("words", "pool", "expected"),
    [
        ("", "", ["app/b1", "app/b2", "shop/b3"]),
        ("APP", "", ["app/b1", "app/b2"]),
        ("app unhealthy", "", ["app/b2"]),
        ("refused", "", ["app/b2"]),
        ("out", "", ["app/b2"]),
        ("", "shop", ["shop/b3"]),
        ("nothing", "", []),
    ],
)
def test_rows_are_filtered_by_words(words: str, pool: str, expected: list[str]) -> None:
    assert names(filtered(rows(backend(1), backend(2, **OUT), backend(3, "shop")), words, pool)) == expected


def test_pools_have_rows() -> None:
    first, second = pool_rows(state(backend(1), backend(2, **OUT), backend(3, "shop")))
    assert (first.name, first.ready, first.backends, second.name) == ("app", 1, 2, "shop")


def test_the_last_error_is_the_one_whose_count_rose() -> None:
    before = state(backend(1, errors_by_why={"reset": 5, "timeout": 9}), backend(2))
    known = last_whys({}, before, {})
    assert known == {"app/b1": "timeout"}
    now = state(backend(1, errors_by_why={"reset": 6, "timeout": 9}), backend(2, errors_by_why={"reset": 1}))
    known = last_whys(before, now, known)
    assert known == {"app/b1": "reset", "app/b2": "reset"}
    assert last_whys(now, now, known) == known
    assert last_whys(now, state(backend(2)), known) == {"app/b2": "reset"}


@settings(max_examples=25)
@given(JSON, JSON)
def test_nonsense_is_no_error(one: Any, other: Any) -> None:
    document = {"backends": {"a/b": one, "c": {"breaker": other, "errors_by_why": one, "order": 1}}, "pools": {"x": other}}
    for whole in (document, {"backends": one, "pools": other}):
        found = [*backend_rows(whole, {}), *pool_rows(whole)]
        assert not any(char < " " for row in found for char in row.name)
        last_whys(whole, document, {})
