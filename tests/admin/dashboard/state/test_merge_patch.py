"""Patches: a document and all its patches make the last document, as another reader of RFC 7396 applies them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.admin.dashboard.state.merge_patch import patch, patched

NAMES = st.sampled_from(["a", "b", "c", "pool/x", "", "é"])
LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False), st.text(max_size=3))
DOCUMENTS = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAVES, inner), max_size=4),
    max_leaves=12,
)


def merge(target: Any, changes: Any) -> Any:
    """The pseudo-code of RFC 7396 section 2."""
    if not isinstance(changes, dict):
        return changes
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


@given(st.lists(DOCUMENTS, min_size=1, max_size=5))
def test_the_first_document_and_all_patches_are_the_last_document(documents: list[dict[str, Any]]) -> None:
    shown = ours = json.loads(json.dumps(documents[0]))
    for before, after in itertools.pairwise(documents):
        changes = json.loads(json.dumps(patch(before, after)))
        shown, ours = merge(shown, changes), patched(ours, changes)
    assert json.dumps(shown, sort_keys=True) == json.dumps(ours, sort_keys=True) == json.dumps(documents[-1], sort_keys=True)


@given(DOCUMENTS)
def test_what_is_equal_needs_no_patch(document: dict[str, Any]) -> None:
    assert patch(document, json.loads(json.dumps(document))) == {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": None, "c": 3}}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
        ({"a": 1}, {"a": {}}, {"a": {}}),
    ],
)
def test_patches(before: dict[str, Any], after: dict[str, Any], expected: dict[str, Any]) -> None:
    assert patch(before, after) == expected
    assert merge(before, expected) == after
