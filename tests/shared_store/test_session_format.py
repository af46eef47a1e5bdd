"""What other tools find in Redis, and what may come from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.shared_store.session_format import MAX_MESSAGE, Moved, SessionFormat, read_moved, write_moved


def test_names_are_those_that_are_documented() -> None:
    names = SessionFormat("balance:")
    assert names.key(b"abc") == b"balance:session:abc"
    assert names.moved_channel == b"balance:moved"
    assert write_moved(Moved(b"abc", "web", "b1")) == b'{"session":"abc","pool":"web","backend":"b1"}'


@given(st.text("abcXYZ019-_", max_size=22), st.text(max_size=50), st.text(max_size=50))
def test_a_message_is_read_as_it_was_written(session: str, pool: str, backend: str) -> None:
    moved = Moved(session.encode(), pool, backend)
    assert read_moved(write_moved(moved)) == moved


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b'{"session":1,"pool":"web","backend":"b"}',
        b'{"session":"a","pool":null,"backend":"b"}',
        '{"session":"ü","pool":"web","backend":"b"}'.encode(),
        b"\xff\xfe",
        b"[" * 4000,
        b'{"session":"a","pool":"web","backend":"' + b"b" * MAX_MESSAGE + b'"}',
    ],
)
def test_anything_else_on_the_channel_says_nothing(message: bytes) -> None:
    assert read_moved(message) is None


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(message: bytes) -> None:
    read_moved(message)
