"""The transport of a client over TLS, between a poll and a protocol: what is sent together, what waits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import pytest
from pem_files import self_signed
from stage import Stage, until
from tls_client import client_context

from balance.model import Why
from balance.proxy.clients import Clients
from balance.proxy.tls.handshake import Chosen, Handshake
from balance.proxy.tls.tls_transport import TlsTransport
from balance.runtime.health_gate import Shared
from balance.tls.contexts import ListenerTls
from balance.tls.settings import ServerTls

TLS = ServerTls(True, (self_signed("a.example").certificate,), session_tickets=False)


class Recorder:
    """A protocol that says what it is told."""

    def __init__(self, clients: Clients) -> None:
        self.told: list[Any] = []
        self.on_data: Callable[[], None] = lambda: None
        self._clients = clients

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)
        self.on_data()

    def eof_received(self) -> bool:
        self.told.append("eof")
        return False

    def pause_writing(self) -> None:
        self.told.append("full")

    def resume_writing(self) -> None:
        self.told.append("room")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(exc)
        self._clients.leave()

    def spliced(self, size: int) -> None:
        """Not called."""


class Peer:
    """The client's end."""

    def __init__(self, stage: Stage, kind: int) -> None:
        near, self.far = socket.socketpair(socket.AF_UNIX, kind)
        near.setblocking(False)
        self.far.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context().wrap_bio(self.incoming, self.outgoing, server_hostname="a.example")
        self.shake()
        tls = ListenerTls(TLS)
        certificate = tls.find("a.example")
        assert certificate is not None
        clients = Clients(stage.worker, "", 0, Shared.with_nobody(stage.worker.row.cells))
        assert clients.may_enter()
        handshake = Handshake(stage.worker, clients, Chosen(tls, tls.policy, certificate, ""), "192.0.2.1")
        self.protocol = Recorder(clients)
        self.transport = TlsTransport(stage.worker.plain, handshake, self.protocol, monotonic() + 60)
        stage.worker.plain.accepted(socket.AF_INET, near.detach(), self.transport)

    def shake(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.far.send(self.outgoing.read())

    async def packet(self) -> bytes:
        """What has come."""
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.far, 1 << 20), 10)

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self.far.send(self.outgoing.read())


@contextlib.asynccontextmanager
async def connected(stage: Stage, kind: int = socket.SOCK_STREAM) -> AsyncIterator[Peer]:
    """After its handshake. In the end it is gone at both ends."""
    await stage.open(tls=TLS)
    peer = Peer(stage, kind)
    peer.incoming.write(await peer.packet())
    peer.shake()
    await until(lambda: peer.protocol.told == ["made"])
    yield peer
    peer.far.close()
    await until(lambda: peer.protocol.told[-1] is None)


async def test_a_last_reply_and_the_goodbye_are_sent_at_once_and_nobody_waits(stage: Stage) -> None:
    # A kind of socket that keeps what was sent at once apart from what comes after.
    async with connected(stage, socket.SOCK_SEQPACKET) as peer:
        peer.transport.write(b"one, ")
        peer.transport.writelines([b"two, ", b"three"])
        assert peer.transport.finish()
        peer.incoming.write(await peer.packet())
        got = b""
        while data := peer.tls.read(100):  # its end is a close_notify; SSLWantReadError without
            got += data
        assert got == b"one, two, three"
        assert await peer.packet() == b""
        await until(lambda: peer.protocol.told == ["made", None])


async def test_a_close_waits_for_the_peers_goodbye_and_throws_away_what_comes_before(stage: Stage) -> None:
    async with connected(stage) as peer:
        peer.transport.close()
        peer.incoming.write(await peer.packet())
        peer.send(b"too late")
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.tls.unwrap()
        peer.far.send(peer.outgoing.read())
        assert await peer.packet() == b""
        await until(lambda: peer.protocol.told == ["made", None])


async def test_what_comes_while_nobody_reads_arrives_before_the_end(stage: Stage) -> None:
    async with connected(stage) as peer:
        peer.transport.pause_reading()
        peer.send(b"all of it")
        peer.far.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0)
        assert peer.protocol.told == ["made"]
        peer.transport.resume_reading()
        await until(lambda: peer.protocol.told == ["made", b"all of it", None])


async def test_a_goodbye_of_the_peers_is_told_and_answered(stage: Stage) -> None:
    async with connected(stage) as peer:
        peer.tls.write(b"the last")
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.tls.unwrap()
        peer.far.send(peer.outgoing.read())
        await until(lambda: peer.protocol.told == ["made", b"the last", "eof", None])
        peer.incoming.write(await peer.packet())
        peer.tls.unwrap()  # ours has come


async def test_what_is_written_after_the_close_is_not_sent(stage: Stage) -> None:
    async with connected(stage) as peer:
        peer.transport.close()
        peer.transport.write(b"more")
        peer.incoming.write(await peer.packet())
        assert peer.tls.read(100) == b""
        assert peer.transport.is_closing()


async def test_bytes_that_are_not_tls_end_it_with_an_alert(stage: Stage) -> None:
    async with connected(stage) as peer:
        peer.far.send(b"\x47\x03\x03\x00\x01x")
        peer.incoming.write(await peer.packet())
        with pytest.raises(ssl.SSLError, match="ALERT"):
            peer.tls.read(100)
        await until(lambda: isinstance(peer.protocol.told[-1], ssl.SSLError))
        peer.protocol.told.append(None)


async def test_who_does_not_read_is_waited_for(stage: Stage) -> None:
    async with connected(stage) as peer:
        data = bytes(4_000_000)
        for start in range(0, len(data), 100_000):
            peer.transport.write(data[start : start + 100_000])
        assert "full" in peer.protocol.told
        assert peer.transport.get_write_buffer_size() > 0
        got = 0
        while got < len(data):
            peer.incoming.write(await peer.packet())
            with contextlib.suppress(ssl.SSLWantReadError):
                while True:
                    got += len(peer.tls.read(1 << 20))
        await until(lambda: "room" in peer.protocol.told)
        peer.transport.abort()


def is_answered(peer: Peer) -> bool:
    try:
        return bool(peer.far.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


async def test_who_is_connected_is_served_between_two_of_many_hellos(stage: Stage) -> None:
    async with connected(stage) as peer:
        others = [Peer(stage, socket.SOCK_STREAM) for _ in range(8)]
        answered: list[int] = []
        peer.protocol.on_data = lambda: answered.append(sum(map(is_answered, others)))
        peer.send(b"while they wait")
        await until(lambda: answered)
        assert answered[0] <= 2
        for other in others:  # all of them in the end
            other.incoming.write(await other.packet())
            other.shake()
        await until(lambda: all(other.protocol.told == ["made"] for other in others))
        for other in others:
            other.far.close()
        await until(lambda: all(other.protocol.told[-1] is None for other in others))


async def test_what_follows_a_hello_that_waits_is_read_when_it_has_its_turn(stage: Stage) -> None:
    async with connected(stage):
        first, second, third = (Peer(stage, socket.SOCK_STREAM) for _ in range(3))
        second.far.send(bytes(60_000))
        third.far.close()
        first.incoming.write(await first.packet())
        first.shake()
        await until(lambda: first.protocol.told == ["made"])
        await until(lambda: stage.whys == {Why.TLS_PROTOCOL: 1, Why.TLS_ABORTED: 1})
        first.far.close()
        await until(lambda: first.protocol.told[-1] is None)
        assert not stage.worker.descriptors.clients - 1
