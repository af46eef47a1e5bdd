"""Steps between accept() and the transport: they decide by address and by bytes that stay, and may wait for more of those."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import replace

import pytest
from rawclient import get, ok
from stage import Stage, serve, until

from balance.config.model import Timeouts
from balance.model import Mode
from balance.proxy.net.transport_poll import TransportPoll
from balance.proxy.preread import Caller, PrereadResult, Step

LISTENS = ["127.0.0.1", "unix"]


async def opened(
    stage: Stage, *steps: Step, listen: str = "127.0.0.1", mode: Mode = Mode.HTTP, client_header_s: float = 0.3
) -> None:
    """As `open`, with steps before the transport."""
    stage.backend(serve(ok()))
    path = str(stage.folder / "front.sock")
    await stage.open(mode=mode, listen=path if listen == "unix" else listen, timeouts=Timeouts(client_header_s=client_header_s))
    (acceptor,) = stage.listener_server._acceptors.values()
    acceptor._steps = steps


def knows_a_line(seen: list[bytes]) -> Step:
    """Waits for a whole line, and leaves it."""

    def step(caller: Caller) -> PrereadResult:
        data = caller.peek(100)
        if data is None:
            return PrereadResult.REFUSE
        seen.append(data)
        return PrereadResult.PASS if b"\r\n" in data else PrereadResult.WAIT

    return step


@pytest.mark.parametrize("listen", LISTENS)
@pytest.mark.parametrize("mode", list(Mode))
async def test_what_a_step_has_peeked_at_is_still_there(stage: Stage, listen: str, mode: Mode) -> None:
    seen: list[bytes] = []
    await opened(stage, lambda caller: PrereadResult.PASS, knows_a_line(seen), listen=listen, mode=mode)
    client = await stage.client()
    for part in (b"GE", b"T / HT", b"TP/1.1\r", b"\nHost: x\r\n\r\n"):
        await client.send(part)
        await until(lambda part=part: seen and part in seen[-1])
    assert (await client.reply()).body == b"ok"


@pytest.mark.parametrize("listen", LISTENS)
async def test_an_end_that_was_told_of_while_a_step_waited_is_known(stage: Stage, listen: str) -> None:
    seen: list[bytes] = []
    await opened(stage, knows_a_line(seen), listen=listen, client_header_s=60.0)
    client = await stage.client()
    await client.send(b"GET /")
    await until(lambda: seen and seen[-1])
    client.send_now(get()[5:])
    client.half_close()
    await client.rest()
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.pure  # it replaces a method
async def test_who_cannot_be_watched_is_closed_and_it_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(poll: TransportPoll, fd: int, awaiting: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # fs.epoll.max_user_watches

    await opened(stage, knows_a_line([]))
    with monkeypatch.context() as patch:
        patch.setattr(TransportPoll, "wait_for", refused)
        assert await (await stage.client()).ending() in ("eof", "reset")
    assert "can't be watched: No space left on device" in caplog.text
    await until(lambda: not stage.worker.descriptors.clients)
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


async def test_a_step_that_waits_does_not_spin_on_what_is_there(stage: Stage) -> None:
    seen: list[bytes] = []
    await opened(stage, knows_a_line(seen))
    client = await stage.client()
    await client.send(b"G")
    await until(lambda: seen)
    asked = len(seen)
    await asyncio.sleep(0.1)
    assert len(seen) <= asked + 2
    await client.send(get()[1:])
    assert (await client.reply()).body == b"ok"


@pytest.mark.parametrize("listen", LISTENS)
async def test_a_step_may_turn_somebody_away(stage: Stage, listen: str) -> None:
    await opened(stage, lambda caller: PrereadResult.REFUSE, listen=listen)
    assert await (await stage.client()).ending() == "eof"
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize("listen", LISTENS)
async def test_whoever_sends_nothing_or_goes_is_not_waited_for(stage: Stage, listen: str) -> None:
    await opened(stage, knows_a_line([]), listen=listen)
    silent, gone = await stage.client(), await stage.client()
    await until(lambda: stage.worker.descriptors.clients == 2)
    gone.close()
    await until(lambda: stage.worker.descriptors.clients == 1)
    assert await silent.ending() in ("eof", "reset")
    await until(lambda: not stage.worker.descriptors.clients)


async def test_a_drain_does_not_wait_for_whoever_says_nothing_at_a_step(stage: Stage) -> None:
    await opened(stage, knows_a_line([]), client_header_s=600.0)
    client = await stage.client()
    await until(lambda: stage.worker.descriptors.clients == 1)
    assert await stage.listener_server.drain(30.0) == 0
    assert await client.ending() in ("eof", "reset")
    assert not stage.worker.descriptors.clients


async def test_who_has_connected_before_a_drain_is_served(stage: Stage) -> None:
    await opened(stage, knows_a_line([]), client_header_s=600.0)
    client = await stage.client()
    await until(lambda: stage.worker.descriptors.clients == 1)
    draining = asyncio.ensure_future(stage.listener_server.drain(600.0))
    await until(lambda: stage.worker.is_draining)
    await client.send(get())
    reply = await client.reply()
    assert (reply.body, reply.get("connection")) == (b"ok", "close")
    assert await draining == 0


async def test_who_has_connected_is_served_when_his_listener_goes(stage: Stage) -> None:
    await opened(stage, knows_a_line([]), client_header_s=600.0)
    client = await stage.client()
    await until(lambda: stage.worker.descriptors.clients == 1)
    await stage.reload(replace(stage.snapshot.config, listeners=()), sockets=[])
    await client.send(get())
    assert (await client.reply()).body == b"ok"


async def test_a_step_may_say_where_a_client_really_comes_from(stage: Stage) -> None:
    seen: list[str | None] = []

    def renamed(caller: Caller) -> PrereadResult:
        caller.address = ("192.0.2.7", 4711)
        return PrereadResult.PASS

    await opened(stage, renamed)

    async def telling(wire) -> None:  # type: ignore[no-untyped-def]
        while (request := await wire.request()) is not None:
            seen.append(request.get("x-forwarded-for"))
            await wire.send(ok())

    stage.backends[0]._script = telling
    client = await stage.client()
    await client.send(get())
    await client.reply()
    assert seen == ["192.0.2.7"]


async def test_a_step_that_crashes_closes_the_connection_and_nothing_else(stage: Stage) -> None:
    def crashing(caller: Caller) -> PrereadResult:
        raise ValueError("a bug")

    await opened(stage, crashing)
    assert await (await stage.client()).ending() in ("eof", "reset")
    await until(lambda: not stage.worker.descriptors.clients)
    assert any("a bug" in failure for failure in stage.failures)
    stage.failures.clear()
    (acceptor,) = stage.listener_server._acceptors.values()
    acceptor._steps = ()
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"


def test_a_socket_that_is_reset_is_at_its_end() -> None:
    one, other = socket.socketpair()
    other.close()
    caller = Caller(None, one.detach(), "", ())  # type: ignore[arg-type]
    assert caller.peek(10) is None
    caller.sock.close()
