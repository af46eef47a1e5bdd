"""Names lead to certificates as RFC 9525 section 6.3 has it."""

from __future__ import annotations

import pytest

from balance.tls.server_names import ServerNames, covers

NAMES = ServerNames({"example.com": 1, "*.example.com": 2, "www.example.com": 3, "*.a.example.com": 4, "localhost": 5})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("example.com", 1),
        ("www.example.com", 3),  # exact beats wildcard
        ("b.example.com", 2),
        ("x.a.example.com", 4),
        ("a.example.com", 2),
        ("x.b.example.com", None),  # a wildcard is one label
        ("*.example.com", None),  # no name
        (".example.com", None),
        ("com", None),
        ("", None),
        ("localhost", 5),
        ("example.com.evil", None),
    ],
)
def test_a_name_leads_to_its_own_entry_or_the_wildcard_above_it(name: str, found: int | None) -> None:
    assert NAMES.find(name) == found


@pytest.mark.parametrize(
    ("patterns", "name", "is_covered"),
    [
        (["a.com"], "a.com", True),
        (["A.com."], "a.com", True),
        (["*.a.com"], "b.a.com", True),
        (["*.a.com"], "*.a.com", True),
        (["*.a.com"], "a.com", False),
        (["*.a.com"], "c.b.a.com", False),
        (["b.a.com"], "*.a.com", False),
        ([], "a.com", False),
    ],
)
def test_a_certificate_covers_a_name(patterns: list[str], name: str, is_covered: bool) -> None:
    assert covers(patterns, name) == is_covered
