"""Reaching a backend: by address, name or path; and what is said when that fails."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from typing import cast

import pytest
from rawclient import Wire, get, ok
from stage import Stage, serve

from balance.errors import UpstreamError
from balance.model import Address, Mode, TryPhase, Why
from balance.proxy.net.dial import NAME_TTL_S, Resolver, dial
from balance.runtime import counters


class Noting(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)


async def never(wire: Wire) -> None:
    await wire.rest()


async def reach(stage: Stage, address: Address, timeout_s: float = 1.0) -> Noting:
    protocol = await dial(stage.loop, Resolver(stage.loop), address, Noting, timeout_s)
    assert protocol.transport is not None
    protocol.transport.abort()
    return protocol


async def failure(stage: Stage, address: Address, timeout_s: float = 1.0) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await reach(stage, address, timeout_s)
    assert raised.value.phase is TryPhase.CONNECT  # the proof that nothing was sent
    return raised.value


async def test_address_is_reached(stage: Stage) -> None:
    await reach(stage, stage.backend(never).address)


async def test_ipv6_address_is_reached(stage: Stage) -> None:
    await reach(stage, stage.backend(never, host="::1").address)


async def test_path_is_reached(stage: Stage) -> None:
    await reach(stage, stage.backend(never, host=str(stage.folder / "sock")).address)


async def test_name_is_reached_though_its_first_address_refuses(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = stage.backend(never)
    resolver = Resolver(stage.loop)
    resolver._known["many.example"] = (stage.loop.time() + 60, ["::1", "127.0.0.2", "127.0.0.1"])
    address = Address("many.example", backend.address.port)
    protocol = await dial(stage.loop, resolver, address, Noting, 1.0)
    assert protocol.transport is not None
    assert protocol.transport.get_extra_info("peername")[0] == "127.0.0.1"
    protocol.transport.abort()


async def test_name_is_reached_though_its_first_address_is_silent(stage: Stage) -> None:
    backend = stage.backend(never)
    stage.hanging("127.0.0.2", backend.address.port)
    resolver = Resolver(stage.loop)
    resolver._known["many.example"] = (stage.loop.time() + 60, ["127.0.0.2", "127.0.0.1"])
    protocol = await dial(stage.loop, resolver, Address("many.example", backend.address.port), Noting, 1.0)
    assert protocol.transport is not None
    assert protocol.transport.get_extra_info("peername")[0] == "127.0.0.1"
    protocol.transport.abort()


async def test_local_name_is_resolved(stage: Stage) -> None:
    await reach(stage, Address("localhost", stage.backend(never).address.port))


async def test_refusal_is_said(stage: Stage) -> None:
    assert (await failure(stage, stage.refusing())).why is Why.CONNECT_REFUSED


async def test_path_that_is_not_there_is_a_refusal(stage: Stage) -> None:
    assert (await failure(stage, Address("", 0, str(stage.folder / "none")))).why is Why.CONNECT_REFUSED


async def test_silence_ends_at_the_timeout(stage: Stage) -> None:
    began = stage.loop.time()
    error = await failure(stage, stage.hanging(), 0.1)
    assert error.why is Why.CONNECT_TIMEOUT
    assert str(error) == "no connection within 0.1 s"
    assert stage.loop.time() - began < 5.0  # and not the minutes that the kernel would take


@pytest.mark.parametrize("name", ["no-such-host.invalid", "x" * 64 + ".invalid", "a..invalid"])
async def test_name_that_does_not_resolve_fails_this_dial_and_nothing_else(stage: Stage, name: str) -> None:
    assert (await failure(stage, Address(name, 80), 5.0)).why is Why.CONNECT_FAILED


async def test_answer_is_kept_for_a_while_and_outlives_its_resolver(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "balance.worker")
    asked: list[str] = []

    async def answer(host: str, port: object, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if len(asked) == 2:
            raise socket.gaierror(socket.EAI_AGAIN, "the resolver is away")
        address = "192.0.2.1" if len(asked) == 1 else "192.0.2.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))] * 2

    resolver = Resolver(_Answering(stage.loop, answer))  # type: ignore[arg-type]
    assert await resolver.resolve("a.example") == ["192.0.2.1"]
    assert await resolver.resolve("a.example") == ["192.0.2.1"]
    assert len(asked) == 1
    expires, addresses = resolver._known["a.example"]
    resolver._known["a.example"] = (expires - NAME_TTL_S - 1, addresses)
    assert await resolver.resolve("a.example") == ["192.0.2.1"]  # asked, not answered
    expires, addresses = resolver._known["a.example"]
    resolver._known["a.example"] = (expires - NAME_TTL_S - 1, addresses)
    assert await resolver.resolve("a.example") == ["192.0.2.2"]
    assert len(asked) == 3
    assert caplog.messages == [
        "a backend's name, a.example, does not resolve: the resolver is away; what it resolved to last is used",
        "a backend's name, a.example, resolves again",
    ]


class _Answering:
    """A loop's resolver, answered by the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop, getaddrinfo: object) -> None:
        self.create_task = loop.create_task
        self.getaddrinfo = getaddrinfo


async def test_many_that_ask_for_a_new_name_ask_once(stage: Stage) -> None:
    asked: list[str] = []
    go = asyncio.Event()

    async def answer(host: str, port: object, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        await go.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    resolver = Resolver(_Answering(stage.loop, answer))  # type: ignore[arg-type]
    asking = [asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # one that goes does not take the answer with it
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*asking[1:]) == [["192.0.2.1"]] * 49
    assert len(asked) == 1


@contextlib.contextmanager
def without_descriptors(but: int) -> Iterator[None]:
    """Room for so many more."""
    free = [os.dup(0) for _ in range(but + 1)]
    for fd in free:
        os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("mode", [Mode.HTTP, Mode.TCP])
async def test_dials_that_descriptors_ran_out_for_are_counted_and_told(
    stage: Stage, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=mode)
    with without_descriptors(but=2):
        client = await stage.client()
        if mode is Mode.TCP:
            await client.has_ended()
        else:
            await client.send(get())
            await client.reply()
    assert stage.cell(counters.DIALS_FAILED_HERE) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "connections to backends can't be made for want of resources here: Too many open files"
    ]


async def test_descriptors_that_ran_out_are_no_backends_fault(stage: Stage) -> None:
    backend = stage.backend(never)
    with without_descriptors(but=0):
        error = await failure(stage, backend.address)
    assert (error.why, error.is_ours) == (Why.CONNECT_FAILED, True)


async def test_refusal_is_the_backends(stage: Stage) -> None:
    assert not (await failure(stage, stage.refusing())).is_ours
