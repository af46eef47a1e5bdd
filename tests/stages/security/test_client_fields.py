"""No spelling of a field that says who asks comes from the client."""

from __future__ import annotations

import pytest
from contexts import request_context
from hypothesis import given
from hypothesis import strategies as st

from balance.stages.security.client_fields import folded, spellings, without_spellings

NAMES = spellings(["X-Remote-User"])


@pytest.mark.parametrize(
    "name",
    ["X-Remote-User", "x-remote-user", "X_Remote_User", "X-REMOTE_USER", "x.remote.user", "X+Remote!User", "x~remote'user"],
)
def test_every_spelling_goes(name: str) -> None:
    lines = f"X-A: 1\r\n{name}: root\r\nX-Remote-Users: 2\r\n".encode()
    assert without_spellings(lines, NAMES) == b"X-A: 1\r\nX-Remote-Users: 2\r\n"


@given(st.binary(min_size=1, max_size=20))
def test_what_cgi_reads_alike_is_folded_alike(name: bytes) -> None:
    cgi = bytes(byte if chr(byte).isascii() and chr(byte).isalnum() else ord("_") for byte in name.upper())
    assert (cgi == b"X_REMOTE_USER") == (folded(name) in NAMES)


def test_who_asks_is_the_same_for_all_that_look() -> None:
    context = request_context(forward=b"Host: a\r\nX_Remote-User: root\r\nCookie: a=1\r\n")
    assert context.header(b"x_remote-user") == b"root"
    before = context.fields
    context.identify("stage", NAMES, b"X-Remote-User: ada\r\n")
    assert context.forward == b"Host: a\r\nCookie: a=1\r\nX-Remote-User: ada\r\n"
    assert context.headers(b"x-remote-user") == [b"ada"]
    assert context.header(b"x_remote-user") is None
    assert context.cookie(b"a") == b"1"
    assert before.forward.endswith(b"Cookie: a=1\r\n"), "those are shared with other requests"
    again = request_context()
    again.fields, again.forward = before, before.forward
    again.identify("stage", NAMES, b"X-Remote-User: ada\r\n")
    assert again.fields is context.fields  # from a note
    again = request_context()
    again.fields, again.forward = before, before.forward
    again.identify("stage", NAMES, b"X-Remote-User: bob\r\n")
    assert again.headers(b"x-remote-user") == [b"bob"]


def test_lines_that_were_changed_before_lose_it_too() -> None:
    context = request_context(forward=b"Host: a\r\nX-Remote-User: root\r\n")
    context.forward += b"If-None-Match: x\r\n"
    context.identify("stage", NAMES, b"X-Remote-User: ada\r\n")
    assert context.forward == b"Host: a\r\nIf-None-Match: x\r\nX-Remote-User: ada\r\n"
