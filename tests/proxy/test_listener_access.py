"""Access lists on real connections: judged when they are accepted, and per request behind trusted proxies."""

from __future__ import annotations

import ipaddress
import logging
import socket
from dataclasses import replace

import pytest
from rawclient import get, ok
from stage import Stage, is_reset, serve, until

from balance.access_lists.access_lists import AccessLists, ListFile
from balance.access_lists.address_range import parse_range
from balance.access_lists.address_set import AddressSet
from balance.access_lists.shared_blocks import BlockWriter
from balance.access_lists.timed_blocks import FOR_EVER, network_of
from balance.config.model import UNIX
from balance.model import Mode, Why
from balance.proxy.listener_access import packed_address
from balance.runtime import counters

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def of(*entries: str) -> AddressSet:
    return AddressSet(map(parse_range, entries))


BLOCKS = AccessLists(blocked=of("127.0.0.0/8"))
REFUSING = [
    AccessLists(allowed=of("10.0.0.0/8")),
    AccessLists(allow_files=(ListFile("f", of("10.0.0.0/8")),)),
    BLOCKS,
    AccessLists(block_files=(ListFile("f", of("127.0.0.1")),)),
    AccessLists(allowed=of("127.0.0.1"), blocked=of("127.0.0.1")),
]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("lists", REFUSING)
async def test_who_may_not_connect_is_reset_before_a_byte_is_read(
    stage: Stage, mode: Mode, lists: AccessLists, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "balance.worker")
    backend = stage.backend(serve(ok()))
    await stage.open(mode=mode, access_lists=lists)
    for _ in range(3):
        assert await is_reset(stage)
    assert not backend.wires
    assert stage.whys == {Why.BLOCKED: 3}
    slot = stage.snapshot.listeners[0].slot
    assert stage.cell(counters.block(slot) + counters.REFUSED_BLOCKED) == 3
    assert not stage.worker.descriptors.clients
    said = [record.getMessage() for record in caplog.records]
    assert said == ["listener main: 127.0.0.1 may not connect by the access lists; it is reset"]


@pytest.mark.parametrize("mode", list(Mode))
async def test_others_are_served(stage: Stage, mode: Mode) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=mode, access_lists=AccessLists(allowed=of("127.0.0.0/8"), blocked=of("127.0.0.2")))
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


async def test_the_peer_of_a_unix_socket_is_on_no_list(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(listen=str(stage.folder / "front.sock"), access_lists=AccessLists(allowed=of("10.0.0.0/8")))
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


async def test_an_ipv4_client_of_a_dual_stack_socket_is_judged_as_ipv4(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(listen="::", access_lists=BLOCKS)
    sock = socket.socket()
    sock.setblocking(False)
    with pytest.raises(ConnectionResetError):  # at once, or at the first byte
        await stage.loop.sock_connect(sock, ("127.0.0.1", stage.address.port))
        await stage.loop.sock_recv(sock, 1)
    sock.close()


async def test_a_reload_changes_the_lists(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await client.reply()
    config = stage.snapshot.config
    listed = replace(config, listeners=(replace(config.listeners[0], access_lists=BLOCKS),))
    await stage.reload(listed)
    assert await is_reset(stage)
    await client.send(get())
    assert (await client.reply()).body == b"ok"  # judged when it came
    await stage.reload(config)
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


async def test_lists_hold_in_tcp_mode_from_a_reload_on(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=Mode.TCP)
    config = stage.snapshot.config
    await stage.reload(replace(config, listeners=(replace(config.listeners[0], access_lists=BLOCKS),)))
    assert await is_reset(stage)


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_block_at_run_time_refuses_new_connections_and_cuts_open_ones(stage: Stage, mode: Mode) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=mode)
    writer = BlockWriter(stage.listener_server._shared.blocks)
    client, idle = await stage.client(), await stage.client()
    await client.send(get())
    await client.reply()
    await until(lambda: len(stage.worker.connections) == 2)
    network = network_of(parse_range("127.0.0.1"))
    writer.block(network, FOR_EVER)
    assert await client.ending() in ("reset", "eof")
    assert await idle.ending() in ("reset", "eof")
    assert await is_reset(stage)
    writer.unblock(network)
    await until(lambda: not stage.worker.blocks.blocks)
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


async def test_a_block_ends_by_itself(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    writer = BlockWriter(stage.listener_server._shared.blocks)
    writer.block(network_of(parse_range("127.0.0.1")), 1)  # it was over long ago
    await until(lambda: stage.worker.blocks.blocks)
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


FORGED = ["X-Forwarded-For: 10.0.0.5, 10.0.0.66", "X-Forwarded-For: 10.0.0.66"]


@pytest.mark.parametrize("request_bytes", [get("/", line) for line in FORGED] + [
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n%s\r\n\r\n" % FORGED[0].encode(),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n%s\r\n\r\nabc" % FORGED[0].encode(),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n%s\r\n\r\nabc" % FORGED[0].encode(),  # one is to come
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n\r\n1\r\na\r\n0\r\n\r\n" % FORGED[0].encode(),
])  # fmt: skip
@pytest.mark.parametrize("lists", [AccessLists(blocked=of("10.0.0.66")), AccessLists(allowed=of("127.0.0.1", "10.0.0.5"))])
async def test_behind_a_trusted_proxy_each_request_is_judged(stage: Stage, request_bytes: bytes, lists: AccessLists) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open(trusted=LOOPBACK, access_lists=lists)
    client = await stage.client()
    await client.send(get("/", "X-Forwarded-For: 10.0.0.66, 10.0.0.5"))
    assert (await client.reply()).body == b"ok"
    await client.send(request_bytes)
    reply = await client.reply()
    assert reply.status == 403
    assert stage.whys == {Why.OK: 1, Why.BLOCKED: 1}
    if request_bytes.startswith((b"OPTIONS", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4")):
        assert await client.ending() == "eof"
    else:  # others are behind the same proxy
        await client.send(request_bytes + get("/", "X-Forwarded-For: 10.0.0.5") + get("/", "X-Forwarded-For: 10.0.0.5"))
        assert [(await client.reply()).status for _ in range(3)] == [403, 200, 200]
    assert len(backend.wires) == 1


@pytest.mark.parametrize(
    ("lists", "status"), [(AccessLists(allowed=of("127.0.0.1")), 403), (AccessLists(blocked=of("10.0.0.66")), 200)]
)
async def test_a_client_that_nobody_knows_is_on_no_allow_list(stage: Stage, lists: AccessLists, status: int) -> None:
    stage.backend(serve(ok()))
    await stage.open(trusted=LOOPBACK, access_lists=lists)
    client = await stage.client()
    await client.send(get("/", "X-Forwarded-For: unknown"))
    assert (await client.reply()).status == status


async def test_a_block_at_run_time_holds_for_clients_behind_trusted_proxies(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(trusted=(*LOOPBACK, UNIX), listen=str(stage.folder / "front.sock"))
    client = await stage.client()
    await client.send(get("/", "X-Forwarded-For: 10.0.0.66"))
    assert (await client.reply()).body == b"ok"
    BlockWriter(stage.listener_server._shared.blocks).block(network_of(parse_range("10.0.0.0/8")), FOR_EVER)
    await until(lambda: stage.worker.blocks.blocks)
    await client.send(get("/", "X-Forwarded-For: 10.0.0.66"))
    assert (await client.reply()).status == 403


@pytest.mark.parametrize("address", ["", "unknown", "10.0.0", "10.0.0.1\0", "x:y"])
def test_what_is_no_address_has_no_bytes(address: str) -> None:
    assert packed_address(address) is None


def test_a_zone_does_not_count() -> None:
    assert packed_address("fe80::1%eth0") == packed_address("fe80::1") != None  # noqa: E711
