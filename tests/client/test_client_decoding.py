"""From JSON to dataclasses: what is accepted, what a wrong one says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from balance.client import BadReplyError
from balance.client.decoding import decode, decode_each


@dataclass(frozen=True, slots=True)
class Inner:
    size: float


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    count: int
    inner: Inner | None
    document: dict[str, Any] = field(repr=False)
    names: tuple[str, ...] = ()
    inners: tuple[Inner, ...] = ()
    is_on: bool = False
    at: datetime | None = None
    more: dict[str, Any] = field(default_factory=dict)


GOOD: dict[str, Any] = {"name": "a", "count": 1, "inner": None}


def test_an_object_becomes_a_dataclass_and_keeps_what_it_does_not_know() -> None:
    value = GOOD | {
        "names": ["x"], "inner": {"size": 1}, "inners": [{"size": 2.5, "new": 1}], "is_on": True,
        "at": "2026-11-29T13:00:00.000+00:00", "newer": [1],
    }  # fmt: skip
    found = decode(Outer, value, "/x")
    assert (found.names, found.inner, found.inners, found.is_on) == (("x",), Inner(1), (Inner(2.5),), True)
    assert found.at == datetime(2026, 11, 29, 13, tzinfo=UTC)
    assert found.document is value
    assert decode(Outer, GOOD, "/x").names == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "/x: an object should be there, not []"),
        (None, "/x: an object should be there, not None"),
        ({"name": "a"}, "/x: the reply has no 'count'; is it of another version?"),
        (GOOD | {"name": None}, "/x: name: text should be there, not None"),
        (GOOD | {"count": "1"}, "/x: count: a whole number should be there, not '1'"),
        (GOOD | {"count": True}, "/x: count: a whole number should be there, not True"),
        (GOOD | {"count": 1.5}, "/x: count: a whole number should be there, not 1.5"),
        (GOOD | {"is_on": 1}, "/x: is_on: true or false should be there, not 1"),
        (GOOD | {"names": "abc"}, "/x: names: a list should be there, not 'abc'"),
        (GOOD | {"names": ["a", 2]}, "/x: names[1]: text should be there, not 2"),
        (GOOD | {"inner": {}}, "/x: inner: the reply has no 'size'; is it of another version?"),
        (GOOD | {"inners": [{"size": []}]}, "/x: inners[0]: size: a number should be there, not []"),
        (GOOD | {"at": "noon"}, "/x: at: a time should be there, not 'noon'"),
        (GOOD | {"at": 5}, "/x: at: a time should be there, not 5"),
        (GOOD | {"more": []}, "/x: more: an object should be there, not []"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(value: Any, said: str) -> None:
    with pytest.raises(BadReplyError) as caught:
        decode(Outer, value, "/x")
    assert str(caught.value) == said


def test_a_list_of_objects() -> None:
    assert decode_each(Inner, [{"size": 1}], "/x") == (Inner(1),)
    with pytest.raises(BadReplyError, match=r"/x\[1\]: an object"):
        decode_each(Inner, [{"size": 1}, 5], "/x")
    with pytest.raises(BadReplyError, match="/x: a list"):
        decode_each(Inner, {}, "/x")
