"""The state as it changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from misbehaving_server import answering, saying

from balance.client import BadReplyError, Client
from balance.client.state_stream import merged

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_are_merged_as_the_rfc_says(target: Any, patch: Any, expected: Any) -> None:
    before = json.dumps(target)
    assert merged(target, patch) == expected
    assert json.dumps(target) == before


def event(kind: str, document: Any) -> bytes:
    return f"id: 1\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode()


def test_each_change_is_a_whole_state() -> None:
    stream = (
        event("delta", {"lost": 1})  # nothing to lay it over
        + event("state", {"seq": 1, "backends": {"a": {"rate": 1}, "b": {}}, "viewer": {"name": "x"}})
        + event("history", {"at": []})
        + event("delta", {"seq": 2, "backends": {"a": {"rate": 2}, "b": None}})
        + event("newer", {})
        + event("state", {"seq": 3})
        + event("end", {"why": "closing"})
    )
    with answering(saying(HEAD + stream)) as (address, _), Client(address).watch(reconnect=False) as states:
        assert list(states) == [
            {"seq": 1, "backends": {"a": {"rate": 1}, "b": {}}, "viewer": {"name": "x"}},
            {"seq": 2, "backends": {"a": {"rate": 2}}, "viewer": {"name": "x"}},
            {"seq": 3},
        ]


@pytest.mark.parametrize("data", ["[]", "x", "1"])
def test_what_is_no_state_is_an_error(data: str) -> None:
    stream = f"event: state\ndata: {data}\n\n".encode()
    with answering(saying(HEAD + stream)) as (address, _), pytest.raises(BadReplyError):
        next(Client(address).watch(reconnect=False))


@given(
    st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | st.dictionaries(st.sampled_from("ab"), st.integers()))
)
def test_a_patch_laid_over_twice_changes_nothing_more(patch: dict[str, Any]) -> None:
    once = merged({"a": {"a": 1}, "b": 2}, patch)
    assert merged(once, patch) == once
