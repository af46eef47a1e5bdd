"""The admin server over a real port."""

import asyncio
import http.client
import signal
import socket
from collections.abc import Callable
from typing import TypeVar

from balance.admin.application import admin_app
from balance.admin.serving.server import AdminServer
from balance.admin.state_view import StateView

T = TypeVar("T")


def served(view: StateView, call: Callable[[http.client.HTTPConnection], T]) -> T:
    """What `call` makes of a connection to the running server."""

    async def main() -> T:
        sock = socket.create_server(("127.0.0.1", 0))
        connection = http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1], timeout=10)
        server = AdminServer(admin_app(view, is_local_only=True))
        server.start([sock], "an admin server under test")
        try:
            return await asyncio.to_thread(call, connection)
        finally:
            connection.close()
            await server.stop()

    return asyncio.run(main())


def test_pages_and_refusals_share_one_kept_connection(view: StateView) -> None:
    def call(connection: http.client.HTTPConnection) -> list[tuple[int, bool]]:
        seen = []
        for method, path in (("GET", "/health"), ("HEAD", "/metrics"), ("GET", "/nowhere"), ("POST", "/status")):
            connection.request(method, path)
            response = connection.getresponse()
            seen.append((response.status, bool(response.read())))
        return seen

    assert served(view, call) == [(200, True), (200, False), (404, True), (405, True)]


def test_the_server_does_not_name_its_software(view: StateView) -> None:
    def call(connection: http.client.HTTPConnection) -> str | None:
        connection.request("GET", "/health")
        return connection.getresponse().getheader("server")

    assert served(view, call) is None


def test_signals_stay_with_whoever_runs_the_loop(view: StateView) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def call(connection: http.client.HTTPConnection) -> object:
        connection.request("GET", "/health")
        connection.getresponse().read()
        return signal.getsignal(signal.SIGTERM)

    assert served(view, call) == before
