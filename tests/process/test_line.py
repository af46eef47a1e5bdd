"""The line between the supervisor and a child: each message arrives whole, in order, with its descriptors, however long."""

import os
from collections.abc import Iterator

import pytest

from balance.process.line import INLINE_BYTES, MAX_FDS, End, line, packed, unpacked


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    one, other = line()
    yield one, other
    one.close()
    other.close()


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 100, INLINE_BYTES - 100, INLINE_BYTES, 10 * INLINE_BYTES, 5_000_000])
def test_a_message_of_any_length_says_what_it_is(ends: tuple[End, End], size: int) -> None:
    one, other = ends
    before = open_fds()
    assert one.say("before") and one.say("long", "x" * size) and one.say("after", 3)
    messages, is_open = other.heard()
    assert [(message.kind, message.data, message.fds) for message in messages] == [
        ("before", None, ()),
        ("long", "x" * size, ()),
        ("after", 3, ()),
    ]
    assert is_open
    assert open_fds() == before


@pytest.mark.parametrize("count", [0, 1, MAX_FDS - 1, MAX_FDS, MAX_FDS + 1, 2 * MAX_FDS + 50])
@pytest.mark.parametrize("size", [1, 2 * INLINE_BYTES])
def test_descriptors_come_in_their_order_with_the_message_that_they_belong_to(
    ends: tuple[End, End], count: int, size: int
) -> None:
    one, other = ends
    before = open_fds()
    files = [packed(b"%d" % number) for number in range(count)]
    assert one.say("files", "x" * size, files)
    assert one.say("after")
    (message, after), _ = other.heard()
    assert (message.kind, message.data, after.kind, after.fds) == ("files", "x" * size, "after", ())
    assert [os.pread(fd, 10, 0) for fd in message.fds] == [b"%d" % number for number in range(count)]
    for fd in (*files, *message.fds):
        os.close(fd)
    assert open_fds() == before


def test_a_file_of_memory_can_be_read_by_several() -> None:
    import pickle

    file = packed(pickle.dumps(("kind", [1, 2])))
    assert unpacked(file) == unpacked(file) == ("kind", [1, 2])
    os.close(file)


def test_who_hears_no_more_is_told_nothing(ends: tuple[End, End]) -> None:
    one, other = ends
    one.say("last")
    one.close()
    messages, is_open = other.heard()
    assert [message.kind for message in messages] == ["last"]
    assert not is_open
    assert not other.say("anything")
