"""Backends that do one thing, and the one request that shows what comes of it."""

from __future__ import annotations

import asyncio

from rawclient import Message, Wire
from stage import Script, Stage

from balance.runtime import counters

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def never(wire: Wire) -> None:
    """Takes requests and says nothing."""
    await wire.rest()


def says(*parts: bytes) -> Script:
    """A backend that answers one request with these bytes, and closes."""

    async def script(wire: Wire) -> None:
        await wire.request()
        for part in parts:
            await wire.send(part)

    return script


def says_and_waits(*parts: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.request()
        for part in parts:
            await wire.send(part)
        await wire.rest()

    return script


def says_and_resets(*parts: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.request()
        for part in parts:
            await wire.send(part)
            await asyncio.sleep(0.01)  # so that it is read before the reset
        wire.reset()

    return script


async def ask(stage: Stage, request: bytes) -> Message:
    client = await stage.client()
    await client.send(request)
    return await client.reply("HEAD" if request.startswith(b"HEAD") else "GET")


def failures(stage: Stage) -> list[int]:
    return [stage.cell(backend.block + counters.FAILURES) for backend in stage.backend_states]
