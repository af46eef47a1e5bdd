"""A running instance for the commands that talk to one: a real admin port, a supervisor that forks nobody."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "admin"))

from fake_instance import FakeInstance  # from the tests of the admin server

from balance.admin.application import admin_app
from balance.admin.serving.server import AdminServer
from balance.cli.main import cli, run

T = TypeVar("T")


class Instance:
    """Serves on a thread of its own."""

    def __init__(self, sock: socket.socket, address: str, is_local_only: bool) -> None:
        self.address = address
        self.fake_instance = FakeInstance()
        self._sock = sock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server = AdminServer(admin_app(self.fake_instance.view, is_local_only))

    def start(self) -> None:
        self._thread.start()
        self.do(lambda: self._server.start([self._sock], "the admin port under test"))

    def do(self, call: Callable[[], T]) -> T:
        """On the loop that serves."""

        async def there() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(10)

    def stop(self) -> None:
        """At the latest when the test is over."""
        if not self._thread.is_alive():
            return
        self.do(self.fake_instance.view.events.close)
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._sock.close()


@pytest.fixture
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """Its parameter is whether only this machine reaches it, which is so without one."""
    sock = socket.create_server(("127.0.0.1", 0))
    instance = Instance(sock, f"127.0.0.1:{sock.getsockname()[1]}", getattr(request, "param", True))
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def say(instance: Instance, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """One command against the instance: its status, and what it said on stdout and stderr."""

    def command(*words: str) -> tuple[int, str, str]:
        status = run(cli, [*words, "--admin", instance.address])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command
