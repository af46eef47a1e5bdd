"""Hosts that mean the same are spelt the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.host_names import normalize_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop.example.com", "shop.example.com"),
        ("Shop.EXAMPLE.com:8080", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("shop.example.com.:443", "shop.example.com"),
        ("shop.example.com..", "shop.example.com."),
        ("shop.example.com:", "shop.example.com"),
        ("*.Example.com", "*.example.com"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:8080", "[::1]"),
        ("[FE80::A]", "[fe80::a]"),
        ("::1", "[::1]"),
        ("[::zz]:80", "[::zz]"),
        ("", ""),
    ],
)
def test_case_port_and_a_final_dot_make_no_difference(host, expected):
    assert normalize_host(host) == expected


@given(st.from_regex(r"[a-zA-Z0-9-]{1,9}(\.[a-zA-Z0-9-]{1,9}){0,3}", fullmatch=True), st.integers(0, 65535))
def test_a_normalized_host_stays_as_it_is(host, port):
    once = normalize_host(f"{host}:{port}")
    assert once == host.lower()
    assert normalize_host(once) == normalize_host(f"{host}.") == once
