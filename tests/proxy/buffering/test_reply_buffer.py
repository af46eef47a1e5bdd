"""What a slow client has not taken of a reply: in order, counted, and how far the backend is read."""

from __future__ import annotations

from fakes import FakeTransport

from balance.config.route_model import Buffering
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.reply_buffer import PART, ReplyBuffer


def buffer_of(limit: int, total: int = 1 << 30) -> tuple[ReplyBuffer, FakeTransport, BufferBudget]:
    transport, budget = FakeTransport(), BufferBudget()
    return ReplyBuffer(transport, Buffering(response_bytes=limit, total_bytes=total), budget), transport, budget


def test_bytes_pass_in_order_and_in_parts() -> None:
    buffer, transport, budget = buffer_of(PART * 4)
    content = bytes(range(256)) * 1000
    for at in range(0, len(content), 1000):
        buffer.add(content[at : at + 1000])
    assert budget.held == len(buffer) == len(content)
    buffer.pass_on()
    assert (transport.written, budget.held) == (content[:PART], len(content) - PART)
    while len(buffer):
        buffer.pass_on()
    assert (transport.written, budget.held) == (content, 0)


def test_backend_is_read_up_to_the_limit_and_again_from_half_of_it() -> None:
    buffer, _, _ = buffer_of(PART * 4)
    buffer.add(b"x" * (PART * 4 - 1))
    assert not buffer.is_full
    buffer.add(b"x")
    assert buffer.is_full
    buffer.pass_on()
    assert not buffer.has_room
    buffer.pass_on()
    assert buffer.has_room


def test_without_room_in_the_worker_the_backend_is_read_no_further() -> None:
    buffer, _, budget = buffer_of(1000, total=100)
    budget.held = 90
    buffer.add(b"x" * 9)
    assert not buffer.is_full
    buffer.add(b"x")
    assert buffer.is_full
    assert not buffer.has_room
    budget.held -= 90
    assert buffer.has_room


def test_what_a_close_hands_over_counts_until_it_is_gone() -> None:
    buffer, transport, budget = buffer_of(1000)
    buffer.add(b"abc")
    buffer.flush()
    buffer.flush()
    assert (transport.written, len(buffer), budget.held) == (b"abc", 0, 3)
    buffer.release()
    buffer.release()
    assert budget.held == 0


def test_what_is_dropped_is_no_longer_counted() -> None:
    buffer, transport, budget = buffer_of(1000)
    buffer.add(b"abc")
    buffer.release()
    assert (transport.written, len(buffer), budget.held) == (b"", 0, 0)
