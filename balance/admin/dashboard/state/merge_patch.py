"""What changed between two documents, as a JSON Merge Patch (RFC 7396). They have no null, which means removal there."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def patch(before: Document, after: Document) -> Document:
    """The patch that makes `after` of `before`; empty when they are equal. Parts that are the same object are not looked at."""
    changes: Document = {}
    for key, new in after.items():
        old = before.get(key)
        if old is new:
            continue
        if isinstance(new, dict) and isinstance(old, dict):
            if inner := patch(old, new):
                changes[key] = inner
        elif old != new or type(old) is not type(new):  # True == 1 == 1.0 here, but not in JSON
            changes[key] = new
    for key in before:
        if key not in after:
            changes[key] = None
    return changes


def patched(document: Document, changes: Document) -> Document:
    """The document after a patch. Neither is changed."""
    result = dict(document)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = patched(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result
