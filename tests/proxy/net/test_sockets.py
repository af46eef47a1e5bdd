"""What is asked of a connected socket beyond its transport."""

import asyncio
import socket

import pytest
from rawclient import Wire
from stage import Stage, until

from balance.proxy.net.sockets import (
    end_now,
    has_left,
    is_silent,
    keep_alive,
    local_host,
    other_address,
    read_now,
    reset,
    unsent,
)


async def connected(stage: Stage, family: int = socket.AF_INET) -> tuple[asyncio.Transport, Wire]:
    """A transport that does not read, and its peer."""
    if family == socket.AF_UNIX:
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
    transport, _ = await stage.loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()
    wire = Wire(theirs)
    stage.wires.append(wire)
    return transport, wire


async def test_reset_is_seen_as_one(stage: Stage) -> None:
    transport, peer = await connected(stage)
    reset(transport)
    assert await peer.ending() == "reset"


async def test_reset_of_a_unix_socket_is_an_end(stage: Stage) -> None:
    transport, peer = await connected(stage, socket.AF_UNIX)
    reset(transport)
    assert await peer.ending() == "eof"


async def test_reset_of_what_is_closing_drops_what_its_peer_does_not_take(stage: Stage) -> None:
    transport, _ = await connected(stage)
    transport.write(b"x" * 30_000_000)
    transport.close()
    assert transport.get_write_buffer_size() > 0
    reset(transport)
    await until(lambda: transport.get_write_buffer_size() == 0)


async def test_silence_ends_with_a_byte(stage: Stage) -> None:
    transport, peer = await connected(stage)
    assert is_silent(transport)
    peer.send_now(b"x")
    await until(lambda: not is_silent(transport))
    transport.abort()


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
async def test_silence_ends_with_an_end(stage: Stage, how: str) -> None:
    transport, peer = await connected(stage)
    getattr(peer, how)()
    await until(lambda: not is_silent(transport))
    transport.abort()


async def test_closed_transport_is_not_silent(stage: Stage) -> None:
    transport, _ = await connected(stage)
    transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not is_silent(transport)


async def test_read_now_takes_what_came_and_never_waits(stage: Stage) -> None:
    transport, peer = await connected(stage)
    assert read_now(transport) == b""
    peer.send_now(b"left over")
    await until(lambda: not is_silent(transport))
    assert read_now(transport) == b"left over"
    peer.reset()
    await until(lambda: not is_silent(transport))
    assert read_now(transport) == b""
    transport.abort()


async def test_end_is_seen_at_once(stage: Stage) -> None:
    transport, peer = await connected(stage)
    end_now(transport)
    assert peer.sock.recv(1) == b""  # it does not block, so without this it raises
    peer.send_now(b"still heard")
    await until(lambda: not is_silent(transport))
    transport.close()
    end_now(transport)


async def test_end_does_not_overtake_what_waits_to_be_sent(stage: Stage) -> None:
    transport, peer = await connected(stage)
    transport.write(b"x" * 20_000_000)
    end_now(transport)
    transport.close()
    assert len(await peer.rest()) == 20_000_000


async def test_accepted_connections_inherit_that_they_are_watched(stage: Stage) -> None:
    with socket.socket() as server:
        keep_alive(server)
        server.bind(("127.0.0.1", 0))
        server.listen()
        stage.wires.append(Wire(socket.create_connection(server.getsockname())))
        accepted, _ = server.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [60, 10, 6]


def test_unix_sockets_need_no_watching() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        keep_alive(sock)


async def test_what_the_kernel_still_holds_is_unsent(stage: Stage) -> None:
    transport, peer = await connected(stage)
    transport.write(b"x" * 20_000_000)
    held = unsent(transport)
    assert transport.get_write_buffer_size() + 100_000 < held < 20_000_000
    await peer.exactly(20_000_000)
    await until(lambda: unsent(transport) == 0)
    transport.abort()


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
async def test_peer_that_leaves_is_noticed_though_nobody_reads(stage: Stage, how: str) -> None:
    transport, peer = await connected(stage)
    await peer.send(b"last words")
    assert not has_left(transport)
    getattr(peer, how)()
    await until(lambda: has_left(transport))
    transport.abort()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("::1", 80, 0, 0), "::1"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 80, 0, 2), "fe80::1"),
        ("", "unknown"),
        ("/run/x.sock", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_is_told_as_others_know_it(name: object, address: str) -> None:
    assert other_address(name) == address


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (("192.0.2.1", 80), b"192.0.2.1"),
        (("192.0.2.1", 8080), b"192.0.2.1:8080"),
        (("::ffff:192.0.2.1", 8080, 0, 0), b"192.0.2.1:8080"),
        (("2001:db8::1", 80, 0, 0), b"[2001:db8::1]"),
        (("fe80::1%eth0", 8080, 0, 2), b"[fe80::1]:8080"),
        ("/run/x.sock", b"localhost"),
        (None, b"localhost"),
    ],
)
def test_where_a_client_has_reached_us_is_what_it_would_have_called_us(name: object, host: bytes) -> None:
    class Named(asyncio.BaseTransport):
        def get_extra_info(self, key: str, default: object = None) -> object:
            return name if key == "sockname" else default

    assert local_host(Named()) == host
