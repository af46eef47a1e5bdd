"""Plain connections on an epoll of their own: bytes and ends arrive as they were sent, and nothing is kept of who is gone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from stage import Stage, until

from balance.model import Address
from balance.proxy.net.polled_dial import PolledDial
from balance.proxy.net.polled_transport import HIGH, LOW, MANY_BYTES, PolledTransport
from balance.proxy.net.sockets import reset
from balance.proxy.net.timer_wheel import TICK_S, TimerWheel
from balance.proxy.net.transport_poll import SURE, TransportPoll


class Noting:
    """A protocol that notes what it is told; `then` is done at each piece."""

    transport: PolledTransport

    def __init__(self, *, keeps_open: bool = True) -> None:
        self.received = b""
        self.told: list[str] = []
        self.error: Exception | None = None
        self._keeps_open = keeps_open
        self.then: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.then is not None:
            self.then()

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self._keeps_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc


class Dialling:
    """Whoever dials, and what it was told."""

    def __init__(self) -> None:
        self.told: list[OSError | None] = []

    def dialled(self) -> None:
        self.told.append(None)

    def dial_failed(self, error: OSError) -> None:
        self.told.append(error)


class Here:
    """A poll, and connections of which the far end is a socket of the test's."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.wheel = TimerWheel(monotonic())
        self.poll = TransportPoll(stage.loop, self.wheel)
        self._sockets: list[socket.socket] = []

    def accepted(self, protocol: Noting | None = None, *, send_buffer: int = 0) -> tuple[Noting, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            if send_buffer:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            far = socket.create_connection(server.getsockname())
            near, _ = server.accept()
        near.setblocking(False)
        self._sockets.append(far)
        protocol = protocol or Noting()
        self.poll.accepted(socket.AF_INET, near.detach(), protocol)
        return protocol, far

    def dial(self, address: Address, timeout_s: float = 0.0) -> tuple[Noting, Dialling, PolledDial]:
        protocol, dialling = Noting(), Dialling()
        return protocol, dialling, self.poll.connect(address, address.host, protocol, dialling, timeout_s, monotonic())

    async def received(self, far: socket.socket, size: int) -> bytes:
        """So much, read without haste."""
        far.setblocking(False)
        data = b""
        while len(data) < size:
            piece = await self.stage.loop.sock_recv(far, 1 << 20)
            assert piece, f"it ended after {len(data)}"
            data += piece
        return data

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def here(stage: Stage) -> Iterator[Here]:
    here = Here(stage)
    yield here
    here.close()
    assert here.poll.is_empty, "a connection was left"
    here.poll.close()


async def nothing_left(here: Here) -> None:
    await until(lambda: here.poll.is_empty)


@pytest.mark.parametrize("seed", range(4))
async def test_any_sizes_arrive_as_they_were_sent(here: Here, seed: int) -> None:
    chance = random.Random(seed)
    protocol, far = here.accepted()
    sent = b""
    for _ in range(30):
        piece = chance.randbytes(chance.choice((1, 100, 16 * 1024, 16 * 1024 + 1, 100_000, MANY_BYTES)))
        far.setblocking(False)
        await here.stage.loop.sock_sendall(far, piece)
        sent += piece
    far.shutdown(socket.SHUT_WR)
    await until(lambda: "eof" in protocol.told)
    assert protocol.received == sent
    protocol.transport.close()
    await nothing_left(here)


async def test_what_the_peer_does_not_take_is_kept_and_whoever_writes_is_told(here: Here) -> None:
    protocol, far = here.accepted(send_buffer=4096)
    said = random.Random(1).randbytes(8 * 1024 * 1024)
    protocol.transport.write(said)
    assert protocol.told == ["made", "pause"]
    assert protocol.transport.get_write_buffer_size() > HIGH
    protocol.transport.write(b"the end")
    protocol.transport.write_eof()
    assert await here.received(far, len(said) + 7) == said + b"the end"
    assert await here.stage.loop.sock_recv(far, 1) == b""
    assert protocol.told == ["made", "pause", "resume"]
    assert protocol.transport.get_write_buffer_size() <= LOW
    protocol.transport.close()
    await nothing_left(here)


async def test_a_close_sends_all_that_was_written(here: Here) -> None:
    protocol, far = here.accepted(send_buffer=4096)
    said = b"x" * 4_000_000
    protocol.transport.write(said)
    protocol.transport.close()
    assert protocol.transport.is_closing()
    assert await here.received(far, len(said)) == said
    assert await here.stage.loop.sock_recv(far, 1) == b""
    await nothing_left(here)
    assert protocol.told[-1] == "lost"
    assert protocol.error is None


async def test_who_is_paused_gets_nothing_and_afterwards_all(here: Here) -> None:
    protocol, far = here.accepted()
    other, far_away = here.accepted()
    protocol.transport.pause_reading()
    assert not protocol.transport.is_reading()
    far.sendall(b"hello")
    far.shutdown(socket.SHUT_WR)
    far_away.sendall(b"x")
    await until(lambda: other.received)  # what came before was seen, too
    assert (protocol.received, protocol.told) == (b"", ["made"])
    protocol.transport.resume_reading()
    await until(lambda: "eof" in protocol.told)
    assert protocol.received == b"hello"
    for each in (protocol, other):
        each.transport.abort()
    await nothing_left(here)


async def test_a_pause_at_a_piece_holds_back_the_next(here: Here) -> None:
    protocol = Noting()
    protocol.then = lambda: protocol.transport.pause_reading()
    _, far = here.accepted(protocol)
    far.sendall(b"y" * 200_000)
    far.shutdown(socket.SHUT_WR)
    await until(lambda: protocol.received)
    first = len(protocol.received)
    await asyncio.sleep(0.02)
    assert len(protocol.received) == first
    assert "eof" not in protocol.told
    protocol.then = None
    protocol.transport.resume_reading()
    await until(lambda: "eof" in protocol.told)
    assert len(protocol.received) == 200_000
    protocol.transport.abort()
    await nothing_left(here)


async def test_a_reset_is_told_after_what_came_before_it(here: Here) -> None:
    protocol, far = here.accepted()
    far.sendall(b"last words")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    await nothing_left(here)
    assert protocol.told == ["made", "lost"]
    assert isinstance(protocol.error, ConnectionResetError)


async def test_a_write_to_who_has_gone_ends_it_and_what_came_can_still_be_read(here: Here) -> None:
    protocol, far = here.accepted()
    protocol.transport.pause_reading()
    far.sendall(b"before")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    protocol.transport.write(b"a")
    assert protocol.told == ["made"]  # never from within a call of the protocol's
    await nothing_left(here)
    assert protocol.told == ["made", "lost"]
    assert isinstance(protocol.error, ConnectionError)


async def test_a_reset_of_ours_is_one_for_the_peer(here: Here) -> None:
    protocol, far = here.accepted()
    reset(protocol.transport)  # type: ignore[arg-type]
    await nothing_left(here)
    with pytest.raises(ConnectionResetError):
        far.recv(1)
    assert protocol.told == ["made", "lost"]


async def test_an_end_that_is_not_kept_open_closes(here: Here) -> None:
    protocol, far = here.accepted(Noting(keeps_open=False))
    far.shutdown(socket.SHUT_WR)
    await nothing_left(here)
    assert protocol.told == ["made", "eof", "lost"]


async def test_an_urgent_byte_holds_up_nothing(here: Here) -> None:
    """The kernel stops a read at it, which looks like a read that has taken all."""
    protocol, far = here.accepted()
    for piece in range(20):
        far.sendall(b"before%d" % piece)
        far.send(b"!", socket.MSG_OOB)
        far.sendall(b"after%d" % piece)
        await until(lambda piece=piece: protocol.received.endswith(b"after%d" % piece))  # type: ignore[misc]
    assert protocol.received == b"".join(b"before%dafter%d" % (piece, piece) for piece in range(20))
    protocol.transport.abort()
    await nothing_left(here)


async def test_a_peer_that_never_stops_leaves_others_their_turn(here: Here) -> None:
    """It is still being read when the other has been told."""
    protocol, far = here.accepted()
    protocol.then = lambda: send_more()

    def send_more() -> None:
        far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            far.send(b"z" * 2 * MANY_BYTES)

    other, far_away = here.accepted()
    send_more()
    far_away.sendall(b"hello")
    await until(lambda: other.received)
    before = len(protocol.received)
    await until(lambda: len(protocol.received) > before)
    for each in (protocol, other):
        each.transport.abort()
    await nothing_left(here)


async def by_turns(here: Here, protocol: Noting, far: socket.socket, times: int = 3 * SURE) -> None:
    """Nobody else speaks: one asks, the other answers."""
    protocol.then = lambda: protocol.transport.write(b"answer")
    for _ in range(times):
        far.sendall(b"question")
        assert await here.received(far, 6) == b"answer"
    protocol.then = None


async def test_who_speaks_alone_is_read_from_before_the_poll_is_asked(here: Here) -> None:
    protocol, far = here.accepted()
    wait, asked = here.poll._wait, [0]

    def waiting() -> list[tuple[int, int]]:
        asked[0] += 1
        return wait()

    here.poll._wait = waiting
    asked_at: list[int] = []
    for _ in range(3 * SURE):
        await until(lambda: len(asked_at) == asked[0])  # all turns are over
        protocol.then = lambda: asked_at.append(asked[0]) or protocol.transport.write(b"answer")
        far.sendall(b"question")
        assert await here.received(far, 6) == b"answer"
    assert asked_at[:SURE] == list(range(1, SURE + 1)), "each time the poll told of it"
    assert asked_at[-SURE:] == list(range(2 * SURE, 3 * SURE)), "each time the turn before was the last to ask"
    protocol.transport.abort()
    await nothing_left(here)


async def test_who_speaks_alone_may_say_much_end_and_be_urgent(here: Here) -> None:
    protocol, far = here.accepted()
    await by_turns(here, protocol, far)
    said = random.Random(2).randbytes(3 * MANY_BYTES)
    protocol.received = b""
    far.setblocking(False)
    await here.stage.loop.sock_sendall(far, said)
    await until(lambda: len(protocol.received) == len(said))
    await by_turns(here, protocol, far)
    far.sendall(b"before")
    far.send(b"!", socket.MSG_OOB)
    far.sendall(b"after")
    await until(lambda: protocol.received.endswith(b"beforeafter"))
    far.sendall(b"last")
    far.shutdown(socket.SHUT_WR)
    await until(lambda: "eof" in protocol.told)
    assert protocol.received == said + b"question" * 3 * SURE + b"beforeafter" + b"last"
    protocol.transport.close()
    await nothing_left(here)


async def test_who_speaks_alone_keeps_nobody_else_waiting(here: Here) -> None:
    protocol, far = here.accepted()
    other, far_away = here.accepted()
    for _ in range(3):
        await by_turns(here, protocol, far)
        far_away.sendall(b"hello")
        await until(lambda: other.received == b"hello")
        far.sendall(b"question")
        far_away.sendall(b", again")
        await until(lambda: other.received == b"hello, again")
        assert protocol.received.endswith(b"question")
        other.received = b""
    for each in (protocol, other):
        each.transport.abort()
    await nothing_left(here)


async def test_who_comes_after_one_that_spoke_alone_has_all_of_his_bytes(here: Here) -> None:
    for ends in ("here", "there", "with a reset"):
        protocol, far = here.accepted()
        await by_turns(here, protocol, far)
        if ends == "here":
            protocol.transport.abort()
        elif ends == "there":
            protocol._keeps_open = False
            far.close()
        else:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            far.close()
        await nothing_left(here)
        assert protocol.told == ["made"] + ["eof"] * (ends == "there") + ["lost"]
        assert (type(protocol.error) is ConnectionResetError) == (ends == "with a reset")


async def test_parts_and_the_rest_of_what_was_received_go_out_in_order(here: Here) -> None:
    protocol, far = here.accepted(send_buffer=4096)
    sent = b""
    for size in (0, 1, 1000, 60_000, 60_000, 60_000, 10):
        rest = random.Random(size).randbytes(size)
        protocol.transport.write_joined((b"head ", b"", b"id "), b"skipped" + rest, 7)
        sent += b"head id " + rest
    assert await here.received(far, len(sent)) == sent
    protocol.transport.close()
    protocol.transport.write_joined((b"too late",), b"", 0)
    await nothing_left(here)
    assert far.recv(10) == b""


async def test_a_joined_write_to_who_has_gone_ends_it(here: Here) -> None:
    protocol, far = here.accepted()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    for _ in range(2):  # the first may still find it open
        protocol.transport.write_joined((b"head",), b"body", 0)
    await nothing_left(here)
    assert protocol.told[-1] == "lost"
    assert isinstance(protocol.error, ConnectionError)


async def test_a_protocol_that_fails_ends_its_connection_and_is_reported(here: Here) -> None:
    protocol, far = here.accepted()

    def fail() -> None:
        raise ZeroDivisionError

    protocol.then = fail
    far.sendall(b"x")
    await nothing_left(here)
    assert isinstance(protocol.error, ZeroDivisionError)
    (failure,) = here.stage.failures
    assert "ZeroDivisionError" in failure
    here.stage.failures.clear()


async def test_a_dial_connects_and_data_flows(here: Here) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        protocol, dialling, _ = here.dial(Address("127.0.0.1", server.getsockname()[1]))
        await until(lambda: dialling.told)
        far, _ = server.accept()
    with far:
        assert dialling.told == [None]
        protocol.transport.write(b"hello")
        assert await here.received(far, 5) == b"hello"
        assert protocol.transport.get_extra_info("peername") == far.getsockname()
        assert protocol.transport.get_extra_info("sockname") == far.getpeername()
        protocol.transport.close()
        await nothing_left(here)


async def test_a_dial_that_is_refused_says_so(here: Here) -> None:
    protocol, dialling, _ = here.dial(here.stage.refusing())
    await until(lambda: dialling.told)
    (error,) = dialling.told
    assert isinstance(error, ConnectionRefusedError)
    assert error.strerror == "Connection refused"
    await nothing_left(here)
    assert protocol.told == []


async def test_a_dial_that_hangs_ends_at_its_time(here: Here) -> None:
    protocol, dialling, _ = here.dial(here.stage.hanging(), timeout_s=1.0)
    here.wheel.turn(monotonic() + 1.0 - 2 * TICK_S)
    assert dialling.told == []
    here.wheel.turn(monotonic() + 1.0 + 2 * TICK_S)
    await until(lambda: dialling.told)
    (error,) = dialling.told
    assert error is not None
    assert error.errno == errno.ETIMEDOUT
    await nothing_left(here)
    assert protocol.told == []
    assert not any(here.wheel._buckets.values())


async def test_a_dial_that_is_called_off_tells_nobody_and_leaves_nothing(here: Here) -> None:
    protocol, dialling, transport = here.dial(here.stage.hanging(), timeout_s=1.0)
    transport.abort()
    await nothing_left(here)
    assert (protocol.told, dialling.told) == ([], [])
    assert not any(here.wheel._buckets.values())


async def test_a_dial_that_was_called_off_does_not_expire_before_it_is_buried(here: Here) -> None:
    _, dialling, transport = here.dial(here.stage.hanging(), timeout_s=1.0)
    transport.abort()
    here.wheel.turn(monotonic() + 2.0)
    assert dialling.told == []
    await nothing_left(here)


@pytest.mark.parametrize("how", ["refused", "in time"])
async def test_whose_dial_has_failed_has_its_descriptor_back_when_it_is_told(here: Here, how: str) -> None:
    """A backend that starts to refuse, or is silent, before many clients: each dials the next one at once."""
    open_then: list[int] = []
    address = here.stage.refusing() if how == "refused" else here.stage.hanging()
    _, dialling, transport = here.dial(address, timeout_s=1.0)
    dialling.dial_failed = lambda error: open_then.append(transport.fd)  # type: ignore[method-assign]
    if how == "in time":
        here.wheel.turn(monotonic() + 2.0)
    await until(lambda: open_then)
    assert open_then == [-1]
    await nothing_left(here)


async def test_who_calls_a_failed_dial_off_before_it_is_told_is_not_told(here: Here) -> None:
    _, dialling, transport = here.dial(here.stage.hanging(), timeout_s=1.0)
    here.wheel.turn(monotonic() + 2.0)
    transport.abort()
    await nothing_left(here)
    assert dialling.told == []


async def test_a_server_that_answers_and_leaves_at_once_was_reached(here: Here, tmp_path: Path) -> None:
    """On a Unix socket its close is seen with the connect, and is no refusal."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        protocol, dialling, _ = here.dial(Address("", 0, path))
        far, _ = server.accept()
        far.sendall(b"busy")
        far.close()
    await until(lambda: "eof" in protocol.told)
    assert dialling.told == [None]
    assert protocol.received == b"busy"
    protocol.transport.close()
    await nothing_left(here)


async def test_a_descriptor_that_is_sent_along_cuts_nothing_off(here: Here) -> None:
    """On a Unix socket a read ends where one was sent, though more has come."""
    near, far = socket.socketpair()
    near.setblocking(False)
    protocol = Noting()
    here.poll.accepted(socket.AF_UNIX, near.detach(), protocol)
    with far:
        socket.send_fds(far, [b"GET / HT"], [0])
        far.sendall(b"TP/1.1")
        await until(lambda: len(protocol.received) == 14)
        protocol.transport.close()
        await nothing_left(here)


async def test_who_is_to_be_looked_at_again_is_once(here: Here) -> None:
    """Else a stream that never empties would be read more and more often in each turn."""
    protocol, far = here.accepted()
    protocol.transport.pause_reading()
    far.sendall(b"x")
    await asyncio.sleep(0.02)
    pieces: list[int] = []
    protocol.then = lambda: pieces.append(1)
    for _ in range(5):
        protocol.transport.resume_reading()
    assert len(here.poll._again) == 1
    await until(lambda: pieces)
    protocol.transport.close()
    await nothing_left(here)


async def test_a_protocol_that_fails_at_its_end_leaves_others_theirs(here: Here) -> None:
    failing, _ = here.accepted()
    other, _ = here.accepted()
    failing.connection_lost = lambda exc: 1 / 0  # type: ignore[assignment,method-assign]
    here.stage.loop.set_exception_handler(lambda loop, context: None)
    failing.transport.abort()
    other.transport.abort()
    await nothing_left(here)
    assert other.told[-1] == "lost"


async def test_a_descriptor_is_not_given_to_another_while_its_events_are_looked_at(here: Here) -> None:
    """Both peers end in one turn; the first one to be told closes the other and dials, which must not pass for connected."""
    first, far = here.accepted()
    second, far_away = here.accepted()
    hanging = here.stage.hanging()
    dials: list[tuple[Noting, Dialling, PolledDial]] = []

    def close_other(other: Noting) -> None:
        if not dials:
            other.transport.abort()
            dials.append(here.dial(hanging))

    first.then = lambda: close_other(second)
    second.then = lambda: close_other(first)
    far.sendall(b"x")
    far_away.sendall(b"x")
    await until(lambda: dials)
    await asyncio.sleep(0.02)
    ((protocol, dialling, transport),) = dials
    assert (protocol.told, dialling.told) == ([], [])
    transport.abort()
    for each in (first.transport, second.transport):
        each.abort()
    await nothing_left(here)
