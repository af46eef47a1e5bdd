"""A stand-in for a server that can't be had here: aiohttp's server, which the product does not use, on a loop of a test's own
or in a thread. What it answers is written from the documentation of the real one; it also misbehaves when it is asked to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from aiohttp import web

Result = TypeVar("Result")


class StandIn:
    """`faults`: how the next requests are treated, one each; `requests`: what was asked, as path with query."""

    def __init__(self) -> None:
        self.port = 0
        self.faults: deque[str] = deque()
        self.requests: list[str] = []
        self.fields: list[dict[str, str]] = []
        self.changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def answer(self, request: web.Request, fault: str) -> web.StreamResponse:
        """The answer to any request. `fault`: what is to be wrong with it, where that is this kind's own matter."""
        raise NotImplementedError

    async def __aenter__(self) -> Any:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, at the port of before if there was one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Connections are broken off."""
        if self._runner is not None:
            self.changed.set()
            for connection in self._runner.server.connections if self._runner.server else ():
                if connection.transport is not None:
                    connection.transport.abort()
            await self._runner.cleanup()
            self._runner = None

    def tell(self) -> None:
        """Something has changed: whoever waits looks."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        self.fields.append(dict(request.headers))
        fault = self.faults.popleft() if self.faults else ""
        match fault:
            case "hang":
                await asyncio.sleep(3600)
            case "reset":
                assert request.transport is not None
                request.transport.abort()
            case "500":
                return web.Response(status=500, text="Internal error")
            case "redirect":
                return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})
            case "html":
                return web.Response(text="<html>maintenance</html>", content_type="text/html")
            case "cut" | "cut json" | "endless":
                return await _wrong(request, fault)
        return await self.answer(request, fault)


async def _wrong(request: web.Request, fault: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "X-Consul-Index": "5"})
    if fault == "cut":
        response.content_length = 1000
    await response.prepare(request)
    await response.write(b'[{"Node": {"Node": "n1"' if fault != "endless" else b"[")
    if fault == "cut":
        assert request.transport is not None
        request.transport.abort()
    while fault == "endless":
        await response.write(b" " * 65536)
    return response


@contextlib.contextmanager
def in_thread(made: Callable[[], StandIn], tls: ssl.SSLContext | None = None) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """A stand-in on a loop in a thread, and a function that calls another one there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def call(function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        return await result if asyncio.iscoroutine(result) else result

    def there(function: Callable[..., Any], *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call(function, *arguments), loop).result(20)

    server = there(made)
    there(server.start, tls)
    try:
        yield server, there
    finally:
        there(server.stop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
