"""The PROXY protocol on real connections: in from listed sources, and out to backends."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from dataclasses import replace

import pytest
from pem_files import self_signed
from rawclient import Message, Wire, get, ok
from stage import Script, Stage, serve, until

from balance.access_lists.access_lists import AccessLists
from balance.access_lists.address_range import parse_range
from balance.access_lists.address_set import AddressSet
from balance.config.model import UNIX, ConnectionProtection, HashKey, ProxyProtocol, SendProxyProtocol
from balance.model import Mode, Why
from balance.proxy_protocol.header_parser import SIGNATURE, parse_header
from balance.proxy_protocol.header_writer import header, local_header
from balance.runtime import counters
from balance.tls.settings import ServerTls

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
FROM_LOOPBACK = ProxyProtocol(True, (LOOPBACK, UNIX))
V1 = header("v1", ("192.0.2.1", 5000), ("198.51.100.2", 80))
V2 = header("v2", ("192.0.2.1", 5000), ("198.51.100.2", 80))


def seeing(seen: list[Message]) -> Script:
    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    return serve(answer)


@pytest.mark.parametrize("listen", ["127.0.0.1", "::", "unix"])
@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
async def test_the_address_that_it_tells_is_the_clients(stage: Stage, head: bytes, listen: str) -> None:
    seen: list[Message] = []
    stage.backend(seeing(seen))
    if listen == "::":
        await stage.open(listen="::", proxy_protocol=ProxyProtocol(True, (ipaddress.ip_network("::1"),)))
    else:
        path = str(stage.folder / "front.sock")
        await stage.open(listen=path if listen == "unix" else listen, proxy_protocol=FROM_LOOPBACK)
    client = await stage.client()
    await client.send(head + get("/", "X-Forwarded-For: 9.9.9.9"))
    assert (await client.reply()).body == b"ok"
    await client.send(get())
    await client.reply()
    assert [request.all("x-forwarded-for") for request in seen] == [["192.0.2.1"]] * 2
    assert seen[0].all("x-real-ip") == ["192.0.2.1"]


@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
async def test_a_header_may_come_a_byte_at_a_time(stage: Stage, head: bytes) -> None:
    seen: list[Message] = []
    stage.backend(seeing(seen))
    await stage.open(proxy_protocol=FROM_LOOPBACK)
    client = await stage.client()
    for byte in (head + get())[: len(head) + 5]:
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    await client.send(get()[5:])
    assert (await client.reply()).body == b"ok"
    assert seen[0].all("x-forwarded-for") == ["192.0.2.1"]


@pytest.mark.parametrize("head", [local_header("v1"), local_header("v2")], ids=["v1", "v2"])
async def test_a_header_that_names_nobody_leaves_the_proxys_own_address(stage: Stage, head: bytes) -> None:
    seen: list[Message] = []
    stage.backend(seeing(seen))
    lists = AccessLists(allowed=AddressSet([parse_range("192.0.2.0/24")]))  # of clients: the proxy itself may come
    await stage.open(proxy_protocol=FROM_LOOPBACK, access_lists=lists)
    client = await stage.client()
    await client.send(head + get())
    assert (await client.reply()).body == b"ok"
    assert seen[0].all("x-forwarded-for") == ["127.0.0.1"]


async def test_in_tcp_mode_the_backend_gets_what_follows_the_header(stage: Stage) -> None:
    seen: list[Message] = []
    stage.backend(seeing(seen))
    await stage.open(mode=Mode.TCP, proxy_protocol=FROM_LOOPBACK, algorithm="source-ip", hash_key=HashKey())
    client = await stage.client()
    await client.send(V2 + get())
    assert (await client.reply()).body == b"ok"
    (connection,) = [each for each in stage.worker.connections if each.clients is not None]
    assert connection.client_address == "192.0.2.1"


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (get(), "sent no PROXY header that can be read: it begins otherwise"),
        (V1.replace(b"TCP4", b"TCP9"), "sent no PROXY header that can be read: a v1 header that is not"),
        (SIGNATURE + b"\x21\x11\xff\xff", "sent no PROXY header that can be read: a v2 header of more than 4096 bytes"),
        (V1[:20], "sent no whole PROXY header within 0.2s"),
        (b"", "sent no whole PROXY header within 0.2s"),
    ],
)
async def test_without_a_good_header_in_time_the_connection_is_closed_and_counted(
    stage: Stage, mode: Mode, sent: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "balance.worker")
    backend = stage.backend(serve(ok()))
    await stage.open(mode=mode, proxy_protocol=replace(FROM_LOOPBACK, timeout_s=0.2))
    client = await stage.client()
    await client.send(sent)
    assert await client.ending() in ("eof", "reset")
    assert not backend.wires
    assert stage.whys == {Why.PROXY_HEADER: 1}
    assert stage.cell(counters.block(stage.snapshot.listeners[0].slot) + counters.REFUSED_PROXY_HEADER) == 1
    await until(lambda: not stage.worker.descriptors.clients)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"listener main: 127.0.0.1 {said}")


async def test_a_listed_source_is_known_on_a_socket_for_both_families(stage: Stage) -> None:
    """It comes as ::ffff:127.0.0.1 there."""
    stage.backend(serve(ok()))
    await stage.open(listen="::", proxy_protocol=ProxyProtocol(True, (LOOPBACK,)))
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.address.port)
    writer.write(V2 + get())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_who_is_not_listed_is_closed_whatever_he_sends(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(proxy_protocol=ProxyProtocol(True, (ipaddress.ip_network("10.0.0.0/8"),)))
    client = await stage.client()
    assert await client.ending() in ("eof", "reset")
    assert stage.whys == {Why.PROXY_HEADER: 1}


async def test_a_port_check_is_nothing_to_tell(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(proxy_protocol=FROM_LOOPBACK)
    (await stage.client()).close()
    await until(lambda: not stage.worker.descriptors.clients)
    assert stage.whys == {}


async def test_lists_and_guard_judge_the_address_that_it_tells(stage: Stage) -> None:
    stage.backend(serve(ok()))
    lists = AccessLists(blocked=AddressSet([parse_range("192.0.2.66"), parse_range("127.0.0.0/8")]))
    await stage.open(
        proxy_protocol=FROM_LOOPBACK, access_lists=lists, protection=ConnectionProtection(True, 1, max_connection_rate=0)
    )
    blocked, first, second = [await stage.client() for _ in range(3)]
    await blocked.send(header("v1", ("192.0.2.66", 1), ("192.0.2.2", 1)))
    assert await blocked.ending() == "reset"
    await first.send(V1 + get())
    assert (await first.reply()).body == b"ok"
    await second.send(V1)
    assert await second.ending() == "reset"
    assert stage.whys == {Why.OK: 1, Why.BLOCKED: 1, Why.TOO_MANY_CONNECTIONS: 1}


async def test_a_client_can_not_tell_another_address_once_more(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(proxy_protocol=FROM_LOOPBACK)
    client = await stage.client()
    await client.send(V1 + header("v1", ("10.0.0.1", 1), ("10.0.0.2", 1)) + get())
    assert (await client.reply()).status == 400


async def test_a_drain_does_not_wait_for_a_header(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(proxy_protocol=FROM_LOOPBACK)
    client = await stage.client()
    await client.send(V1[:10])
    await asyncio.sleep(0.02)
    await stage.listener_server.drain(5.0)
    assert await client.ending() in ("eof", "reset")


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_a_header_may_stand_before_a_client_hello_in_one_segment(stage: Stage, one_by_one: bool) -> None:
    seen: list[Message] = []
    stage.backend(seeing(seen))
    certificate = self_signed("a.example").certificate
    await stage.open(proxy_protocol=FROM_LOOPBACK, tls=ServerTls(True, (certificate,)))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    wire = await stage.client()
    unsent = V2
    received = b""
    while b"\r\n\r\nok" not in received:
        try:
            client.do_handshake()
            if not received:
                client.write(get())
            received += client.read() or b""
        except ssl.SSLWantReadError:
            unsent += outgoing.read()
            for part in [unsent[index : index + 1] for index in range(len(unsent))] if one_by_one else [unsent]:
                await wire.send(part)
                await asyncio.sleep(0)
            unsent = b""
            incoming.write(await wire.some())
    assert received.startswith(b"HTTP/1.1 200")
    assert seen[0].all("x-forwarded-for") == ["192.0.2.1"]
    assert seen[0].all("x-forwarded-proto") == ["https"]


@pytest.mark.parametrize("sent", [V1[:-3], b""])
async def test_before_a_handshake_a_header_has_its_own_time(stage: Stage, sent: bytes) -> None:
    await stage.open(proxy_protocol=replace(FROM_LOOPBACK, timeout_s=0.2), tls=ServerTls(True, (self_signed("a").certificate,)))
    client = await stage.client()
    await client.send(sent)
    assert await client.ending() in ("eof", "reset")
    assert stage.whys == {Why.PROXY_HEADER: 1}


# --- out ------------------------------------------------------------------------------------------------------


class Headed:
    """Backends' view of connections that begin with a header: which, and the requests on each."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int] | None] = []
        self.requests: list[int] = []

    async def script(self, wire: Wire) -> None:
        data = b""
        while (found := parse_header(data)) is None:
            data += await wire.exactly(1)
        number = len(self.told)
        self.told.append(found.source)
        self.requests.append(0)
        while await wire.request() is not None:
            self.requests[number] += 1
            await wire.send(ok())


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_backend_is_told_whose_the_connection_is(stage: Stage, mode: Mode, version: str) -> None:
    headed = Headed()
    stage.backend(headed.script)
    await stage.open(mode=mode, proxy_protocol=FROM_LOOPBACK, sends=version)
    client = await stage.client()
    await client.send(V2 + get())
    assert (await client.reply()).body == b"ok"
    assert headed.told == [("192.0.2.1", 5000)]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_connection_with_a_header_is_never_shared_between_clients(stage: Stage, version: str) -> None:
    headed = Headed()
    backends = [stage.backend(headed.script), stage.backend(headed.script)]
    await stage.open(sends=version)
    first, second = await stage.client(), await stage.client()
    for _ in range(3):
        for client in (first, second):
            for _ in range(2):  # one for each backend: requests are balanced one by one
                await client.send(get())
                assert (await client.reply()).body == b"ok"
    ports = [client.sock.getsockname() for client in (first, second)]
    assert sorted(map(str, headed.told)) == sorted(map(str, ports * 2))
    assert headed.requests == [3, 3, 3, 3]
    assert [len(backend.wires) for backend in backends] == [2, 2]
    assert not any(backend.idle for backend in stage.backend_states)
    first.close()
    second.close()
    await until(lambda: not any(backend.open_count for backend in stage.backend_states))


async def test_a_client_that_leaves_while_its_backend_is_dialled_leaves_no_connection(stage: Stage) -> None:
    headed = Headed()
    stage.backend(headed.script)
    await stage.open(sends="v1")
    for _ in range(5):
        client = await stage.client()
        await client.send(get())
        client.close()
    await until(lambda: not stage.worker.connections)
    await until(lambda: not any(backend.open_count for backend in stage.backend_states))


async def test_a_client_is_not_closed_with_its_backends_connection(stage: Stage) -> None:
    headed = Headed()
    backend = stage.backend(headed.script)
    await stage.open(sends="v1")
    client = await stage.client()
    await client.send(get())
    await client.reply()
    backend.wires[0].half_close()
    await until(lambda: not any(backend.open_count for backend in stage.backend_states))
    await client.send(get())
    assert (await client.reply()).body == b"ok"
    assert len(headed.told) == 2


async def test_what_was_parked_without_a_header_is_not_used_with_one(stage: Stage) -> None:
    asked: list[bytes] = []

    async def script(wire: Wire) -> None:
        asked.append(await wire.exactly(5))
        await wire.send(ok())
        if asked[-1] == b"GET /":
            await wire.rest()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await client.reply()
    config = stage.snapshot.config
    pool = replace(config.pools[0], proxy_protocol=SendProxyProtocol("v1"))
    await stage.reload(replace(config, pools=(pool,)))
    await client.send(get())
    assert (await client.reply()).body == b"ok"
    assert asked == [b"GET /", b"PROXY"]
