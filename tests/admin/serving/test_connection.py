"""What a client of the admin port can take and for how long."""

from __future__ import annotations

import contextlib
import socket

import pytest
from admin_server import connected, serving, until_end

from balance.admin.serving import connection, server
from balance.admin.state_view import StateView

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def status_of(port: int) -> bytes:
    with connected(port) as client:
        client.sendall(GET)
        return until_end(client).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\n" + b"X-A: b\r\n" * 100_000,
        b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 1_000_000,
        b"GET /" + b"a" * 1_000_000,
    ],
)
def test_a_head_without_end_is_refused(view: StateView, head: bytes) -> None:
    with serving(view) as port, connected(port) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(head)
        assert until_end(client)[:13] in (b"HTTP/1.1 431 ", b"")  # a reset, as bytes are left unread, may destroy it
        assert status_of(port) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("start", [b"", b"GET /health HTTP/1.1\r\n", b"\r\n"])
def test_a_head_has_to_come_in_time(view: StateView, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.1)
    with serving(view) as port, connected(port) as client:
        client.sendall(start)
        assert until_end(client) == b""


def test_the_rest_of_a_body_that_nobody_reads_is_taken_for_a_moment(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    with serving(view) as port, connected(port) as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert until_end(client).startswith(b"HTTP/1.1 404 ")


def test_a_client_whose_body_ends_a_little_later_goes_on(view: StateView) -> None:
    with serving(view) as port, connected(port) as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 404 ")
        client.sendall(b"{}" + GET)
        assert b"200 OK" in until_end(client)


@pytest.mark.long
def test_who_does_not_read_his_replies_is_cut_off(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITE_TIMEOUT_S", 0.1)
    with serving(view) as port, connected(port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        with pytest.raises(ConnectionError):
            while True:
                client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)


def test_silent_connections_make_room_for_who_asks(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    with serving(view) as port, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(40)]
        for client in silent[::2]:
            client.sendall(b"GET /hea")
        assert {status_of(port) for _ in range(20)} == {b"HTTP/1.1 200 OK"}


@pytest.mark.long
def test_a_pipeline_without_end_is_not_kept(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = [0]
    answered = connection.AdminConnection.on_response_complete

    def count(self: connection.AdminConnection) -> None:
        answered(self)
        longest[0] = max(longest[0], len(self.pipeline))

    monkeypatch.setattr(connection.AdminConnection, "on_response_complete", count)
    with serving(view) as port, connected(port) as client:
        client.settimeout(1)
        with contextlib.suppress(TimeoutError):
            client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 200_000)
    assert 0 < longest[0] < 20_000  # one read, 256 KB at most
