"""Conditions on values, each operator on each kind. That routes apply them is in test_route_table.py."""

from __future__ import annotations

import pytest

from balance.config.route_model import ValueMatch
from balance.http1.head import RequestFields
from balance.routing.request_view import RequestView
from balance.routing.value_test import ValueTest


def request_with(kind: str, value: str | None) -> RequestView:
    fields = RequestFields()
    if value is not None and kind != "query":
        fields.forward = f"{'X-Name' if kind == 'header' else 'Cookie: X-Name='}{':' * (kind == 'header')}{value}\r\n".encode()
    return RequestView(fields, b"/" if value is None or kind != "query" else b"/?X-Name=" + value.encode())


@pytest.mark.parametrize("kind", ["header", "cookie", "query"])
@pytest.mark.parametrize(
    ("operator", "expected", "value", "holds"),
    [
        ("equals", "ab", "ab", True),
        ("equals", "ab", "abc", False),
        ("equals", "ab", "AB", False),
        ("equals", "", "", True),
        ("equals", "", None, False),
        ("prefix", "ab", "abc", True),
        ("prefix", "ab", "a", False),
        ("prefix", "", None, False),
        ("regex", "^a+$", "aaa", True),
        ("regex", "^a+$", "ab", False),
        ("regex", "", None, False),
        ("present", "", "", True),
        ("present", "", None, False),
        ("absent", "", "", False),
        ("absent", "", None, True),
    ],
)
def test_operators(kind, operator, expected, value, holds):
    assert ValueTest(kind, ValueMatch("X-Name", operator, expected)).holds(request_with(kind, value)) is holds
