"""A line between two processes: what is said arrives whole, in order, with its descriptors, and nobody waits."""

from __future__ import annotations

import gc
import os
import pickle
import resource
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polling import is_readable

from balance.process.ipc import pipe as module
from balance.process.ipc.pipe import INLINE_BYTES, MAX_FDS, Message, PipeEnd, from_memfd, pipe_pair, to_memfd

Pair = tuple[PipeEnd, PipeEnd]


@pytest.fixture(scope="module", autouse=True)
def _no_garbage_of_others() -> None:
    """Descriptors are counted here, and what is collected meanwhile closes some."""
    gc.collect()


@pytest.fixture
def ends() -> Iterator[Pair]:
    one, other = pipe_pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def file() -> Iterator[int]:
    """A descriptor that may be given away."""
    fd = os.open(os.devnull, os.O_RDONLY)
    yield fd
    os.close(fd)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_messages_arrive_in_order_both_ways(ends: Pair) -> None:
    one, other = ends
    assert other.receive() == ([], True)
    assert all(one.send("count", number) for number in range(3))
    assert other.send("answer", {"well": True})
    assert other.receive() == ([Message("count", number, ()) for number in range(3)], True)
    assert one.receive() == ([Message("answer", {"well": True}, ())], True)


SIZES = st.one_of(st.integers(0, 100), st.integers(INLINE_BYTES - 100, INLINE_BYTES + 100), st.integers(0, 300_000))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(SIZES, st.sampled_from([0, 1, 2, MAX_FDS - 1, MAX_FDS, MAX_FDS + 1])), min_size=1, max_size=6))
def test_messages_of_any_size_with_any_number_of_descriptors_arrive_whole(said: list[tuple[int, int]]) -> None:
    one, other = pipe_pair()
    with open(os.devnull) as file:
        before = open_files()
        for size, count in said:
            assert one.send("it", b"x" * size, [file.fileno()] * count)
            (message,), is_open = other.receive()
            assert is_open
            assert (message.kind, len(message.data), len(message.fds)) == ("it", size, count)
            for fd in message.fds:
                assert os.path.samestat(os.fstat(fd), os.fstat(file.fileno()))
                os.close(fd)
            assert open_files() == before
    one.close()
    other.close()


@pytest.mark.parametrize("size", [0, INLINE_BYTES])
@pytest.mark.parametrize("count", [MAX_FDS, MAX_FDS + 1, 2 * MAX_FDS, 3 * MAX_FDS + 5])
def test_descriptors_keep_their_order_over_several_packets(ends: Pair, size: int, count: int) -> None:
    one, other = ends
    made = [to_memfd(b"%d" % number) for number in range(count)]
    assert one.send("sockets", b"x" * size, made)
    assert one.send("next")
    first, second = other.receive()[0]
    assert [int(os.pread(fd, 10, 0)) for fd in first.fds] == list(range(count))
    assert second == Message("next", None, ())
    for fd in (*made, *first.fds):
        os.close(fd)


def test_a_long_message_comes_with_its_kind_and_only_the_descriptors_that_were_given(ends: Pair, file: int) -> None:
    one, other = ends
    before = open_files()
    text = "x" * (INLINE_BYTES + 1)
    assert one.send("order", (7, text), [file])
    (message,) = other.receive()[0]
    assert (message.kind, message.data) == ("order", (7, text))
    assert len(message.fds) == 1
    os.close(message.fds[0])
    assert open_files() == before


def test_a_peer_that_does_not_read_makes_nobody_wait_and_gets_whole_messages_later(ends: Pair) -> None:
    one, other = ends
    count = 0
    while one.send("count", count):
        count += 1
    assert count > 10
    assert not one.send("one more")
    assert [message.data for message in other.receive()[0]] == list(range(count))
    assert one.send("again")
    assert other.receive()[0] == [Message("again", None, ())]


def test_a_message_that_went_out_in_part_is_the_last_one(ends: Pair, file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = ends
    sent = 0
    send = PipeEnd._send

    def full_after_one(self: PipeEnd, packet: bytes, fds: list[int]) -> None:
        nonlocal sent
        sent += 1
        if sent > 1:
            raise BlockingIOError
        send(self, packet, fds)

    with monkeypatch.context() as patched:
        patched.setattr(PipeEnd, "_send", full_after_one)
        assert not one.send("sockets", None, [file] * (MAX_FDS + 1))
    assert not one.send("next")  # it would be given the descriptors of the one before
    before = open_files()
    assert other.receive() == ([], True)
    assert open_files() == before + MAX_FDS
    other.close()
    assert open_files() == before - 1  # what had come for a message that never will is closed


def test_eof_comes_after_all_messages(ends: Pair) -> None:
    one, other = ends
    assert one.send("last")
    assert other.send("nobody will hear it")
    one.close()
    assert other.receive() == ([Message("last", None, ())], False)
    assert not other.send("more")


def test_no_file_for_a_long_message_is_a_message_not_sent(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(packet: bytes) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "to_memfd", none_left)
    assert not ends[0].send("long", b"x" * INLINE_BYTES)
    assert ends[0].send("short")
    assert ends[1].receive() == ([Message("short", None, ())], True)


def test_what_is_packed_once_is_read_from_its_start_by_everybody() -> None:
    file = to_memfd(pickle.dumps(("plan", [1, 2, 3])))
    copy = os.dup(file)
    assert [from_memfd(each) for each in (file, copy, file)] == [("plan", [1, 2, 3])] * 3
    os.close(file)
    os.close(copy)


def test_an_end_is_waited_for_by_its_descriptor_which_no_other_program_gets(ends: Pair) -> None:
    one, other = ends
    assert not os.get_inheritable(one.fileno())
    assert not is_readable(other.fileno())
    one.send("it")
    assert is_readable(other.fileno())


def test_descriptors_for_which_there_is_no_room_are_missing_and_the_message_is_not(ends: Pair) -> None:
    here, there = ends
    readable, writable = os.pipe()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert here.send("prepare", 2, [readable, writable])
    assert here.send("end", 1)
    probe = os.dup(readable)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, limits[1]))  # the next descriptor would be one too many
    try:
        messages, _ = there.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(readable)
        os.close(writable)
    assert [(message.kind, message.data, message.fds) for message in messages] == [("prepare", 2, ()), ("end", 1, ())]
