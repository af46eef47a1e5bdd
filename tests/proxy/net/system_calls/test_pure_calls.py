"""The calls of the standard library, and the native ones beside them: the same of the kernel, the same answers and errors."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from native_module import native_module
from polling import is_readable, is_writable

from balance.proxy.net.system_calls import pure_calls

NAME = "balance.proxy.net.system_calls.native_calls"


@pytest.fixture(scope="session", params=["pure", "native"])
def calls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    if request.param == "pure":
        return pure_calls
    source = Path(pure_calls.__file__).with_name("native_calls.c")
    return native_module(NAME, source, tmp_path_factory.mktemp("native"))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connected, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for each in (one, other):
        each.setblocking(False)
    with one, other:
        yield one, other


def arrived(fd: int) -> None:
    """Wait until it is readable."""
    assert is_readable(fd, 5)


def test_what_came_is_received_then_nothing_then_the_end(calls: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    assert calls.receive(other.fileno(), calls.FEW_BYTES) is None
    one.send(b"hello")
    arrived(other.fileno())
    assert calls.receive(other.fileno(), 4) == b"hell"
    assert calls.receive(other.fileno(), calls.MANY_BYTES) == b"o"
    assert calls.receive(other.fileno(), calls.MANY_BYTES) is None
    one.close()
    arrived(other.fileno())
    assert calls.receive(other.fileno(), calls.FEW_BYTES) == b""


def test_what_was_received_is_not_overwritten_by_what_comes_after(
    calls: ModuleType, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    pieces = []
    for letter in (b"x", b"y"):
        one.send(letter * 50_000)
        arrived(other.fileno())
        piece = b""
        while len(piece) < 50_000:
            piece += calls.receive(other.fileno(), calls.MANY_BYTES) or b""
        pieces.append(piece)
    assert pieces == [b"x" * 50_000, b"y" * 50_000]


def test_a_reset_is_an_error_and_so_is_a_closed_descriptor(
    calls: ModuleType, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    one.close()
    arrived(other.fileno())
    with pytest.raises(ConnectionResetError):
        calls.receive(other.fileno(), calls.FEW_BYTES)
    with pytest.raises(BrokenPipeError):
        calls.send(other.fileno(), b"x")
    for call in (lambda: calls.receive(-1, 10), lambda: calls.send(-1, b"x"), lambda: calls.no_delay(1 << 20, None)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_kernel_takes_what_fits_and_says_how_much(
    calls: ModuleType, pair: tuple[socket.socket, socket.socket], kind: Any
) -> None:
    one, other = pair
    said = kind(bytes(range(256)) * 64 * 1024)
    taken = calls.send(one.fileno(), said)
    assert 0 < taken < len(said)
    while more := calls.send(one.fileno(), said[taken:]):  # the kernel may have moved some meanwhile
        taken += more
    got = 0
    while data := calls.receive(other.fileno(), calls.MANY_BYTES):
        assert data[:1] == bytes([got % 256]) or got == 0
        got += len(data)
    assert got <= taken
    with pytest.raises(TypeError):
        calls.send(one.fileno(), "text")


def test_parts_and_a_rest_are_sent_as_one_and_what_is_not_taken_is_told(
    calls: ModuleType, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    assert calls.send_joined(one.fileno(), (b"a", b"", b"bc"), b"xxxde", 3) == 0
    arrived(other.fileno())
    assert calls.receive(other.fileno(), 100) == b"abcde"
    assert calls.send_joined(one.fileno(), (), b"x", 1) == 0
    said, left = b"y" * 100_000, 0
    while not left:
        left = calls.send_joined(one.fileno(), (b"z" * 10,), said, 10)
    while left != len(said):  # 10 more, and 10 less
        assert 0 < left < len(said)
        left = calls.send_joined(one.fileno(), (b"z" * 10,), said, 10)
    with pytest.raises(OSError, match="Bad file descriptor"):
        calls.send_joined(-1, (b"a",), b"b", 0)


def test_events_are_those_of_the_kernel(calls: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    with select.epoll() as epoll:
        wait = calls.waiting(epoll, 1)
        assert wait() == []
        epoll.register(other.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        epoll.register(one.fileno(), select.EPOLLIN)
        one.send(b"x")
        arrived(other.fileno())
        assert wait() == [(other.fileno(), select.EPOLLIN)]
        one.shutdown(socket.SHUT_WR)
        assert wait() == [(other.fileno(), select.EPOLLIN | select.EPOLLRDHUP)]
        other.send(b"x")
        arrived(one.fileno())
        assert len(wait()) == 1  # the most
        assert len(calls.waiting(epoll, 40)()) == 2
    with pytest.raises((OSError, ValueError)):
        wait()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_accepted_sockets_do_not_block_and_come_with_the_peer_s_address(
    calls: ModuleType, family: socket.AddressFamily, tmp_path: Path
) -> None:
    names: dict[int, Any] = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0), socket.AF_UNIX: str(tmp_path / "s")}
    with socket.socket(family) as server:
        server.bind(names[family])
        server.listen()
        server.setblocking(False)
        accept = calls.accepting(server)
        with pytest.raises(BlockingIOError):
            accept()
        for name in ("", str(tmp_path / "named"), "\0hidden") if family == socket.AF_UNIX else ("",):
            with socket.socket(family) as far:
                if name:
                    far.bind(name)
                far.connect(server.getsockname())
                fd, address = accept()
                with socket.socket(fileno=fd) as near:
                    assert address == far.getsockname() == near.getpeername()
                    assert not os.get_blocking(fd)
                    assert not os.get_inheritable(fd)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_connect_goes_on_by_itself(calls: ModuleType, family: socket.AddressFamily, tmp_path: Path) -> None:
    names: dict[int, Any] = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0), socket.AF_UNIX: str(tmp_path / "s")}
    with socket.socket(family) as server:
        server.bind(names[family])
        server.listen()
        host, port = (names[family], 0) if family == socket.AF_UNIX else server.getsockname()[:2]
        fd, sock = calls.connect(family, host, port)
        far, _ = server.accept()
        with far:
            assert calls.error_of(fd, sock) == calls.error_of(fd, None) == 0
            assert not os.get_blocking(fd)
            assert not os.get_inheritable(fd)
            if family != socket.AF_UNIX:
                calls.no_delay(fd, None)
                calls.no_delay(fd, sock)
                with socket.socket(fileno=os.dup(fd)) as double:
                    assert double.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            calls.send(fd, b"last words")
            calls.end(fd, None)
            assert far.recv(100) == b"last words"
            assert far.recv(100) == b""
            calls.close(fd, sock)
            far.settimeout(5)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
        calls.close(fd, sock)  # raises nothing


def test_a_connect_that_can_not_be_says_so_and_leaves_no_descriptor(calls: ModuleType, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        calls.connect(socket.AF_UNIX, str(tmp_path / "nobody"), 0)
    with pytest.raises(OSError, match="path too long"):
        calls.connect(socket.AF_UNIX, "/" + "x" * 200, 0)
    with pytest.raises(OverflowError):
        calls.connect(socket.AF_INET, "127.0.0.1", 65_536)
    for text in ("::g", "::1::2"):
        with pytest.raises(OSError):  # each says it in its words
            calls.connect(socket.AF_INET6, text, 80)
    assert os.listdir("/proc/self/fd") == before


def test_a_refusal_is_told_by_its_number(calls: ModuleType) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with contextlib.suppress(ConnectionRefusedError):  # at once, or told later
            fd, sock = calls.connect(socket.AF_INET, *unheard.getsockname())
            is_writable(fd, 5)
            assert os.strerror(calls.error_of(fd, sock)) == "Connection refused"
            calls.close(fd, sock)


def test_nothing_is_left_of_many_calls(calls: ModuleType, pair: tuple[socket.socket, socket.socket]) -> None:
    """References are counted by hand in C."""
    one, other = pair
    with select.epoll() as epoll:
        epoll.register(other.fileno(), select.EPOLLIN)
        wait = calls.waiting(epoll, 10)

        def once() -> None:
            calls.send(one.fileno(), b"x" * 3000)
            wait()
            calls.receive(other.fileno(), calls.FEW_BYTES)
            calls.receive(other.fileno(), calls.FEW_BYTES)
            with contextlib.suppress(OSError):
                calls.send(-1, b"x")

        for _ in range(100):
            once()
        before = sys.getallocatedblocks()
        for _ in range(2000):
            once()
        assert sys.getallocatedblocks() - before < 100
