"""`balance backend` as a user meets it: a process, its first line, its pages over real sockets, its end."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from websockets.asyncio.client import connect

COMMAND = [sys.executable, "-m", "balance", "backend"]
LIMIT_S = 10


@contextmanager
def backend(*arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A running backend: its port, and its process."""
    process = subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"backend (.+) listening on (?:http|tcp)://127\.0\.0\.1:(\d+)\n", line)
        assert match, f"{line!r}"
        yield int(match[2]), process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with backend("--name", "one", "--websocket") as (port, _):
        yield port


def fetch(port: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()


def converse(port: int, sent: bytes) -> bytes:
    """All that comes back until the backend closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_an_echo_sends_back_all_that_comes() -> None:
    with backend("--echo") as (port, process), socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        sent = bytes(range(256)) * 4096
        threading.Thread(target=client.sendall, args=(sent,)).start()
        got = b""
        while len(got) < len(sent):
            got += client.recv(65536)
        assert got == sent
        process.send_signal(signal.SIGTERM)
        assert client.recv(1) == b""
        assert process.wait(LIMIT_S) == 0


def test_an_echo_has_nothing_of_http() -> None:
    done = subprocess.run([*COMMAND, "--port", "0", "--echo", "--delay", "1s"], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2
    assert "--echo is without HTTP" in done.stderr


def test_root_is_the_name_in_text_and_in_a_header(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.read() == b"one\n"
        assert response.headers["X-Backend"] == "one"


def test_root_is_json_where_accept_asks_for_it(port: int) -> None:
    status, body = fetch(port, "/", Accept="application/json")
    assert (status, json.loads(body)["backend"]) == (200, "one")


def test_lb_says_who_answers_to_people_and_to_curl(port: int) -> None:
    assert fetch(port, "/lb")[1].startswith(b"one answers")
    status, page = fetch(port, "/lb", Accept="text/html,*/*;q=0.8")
    assert (status, b"<h1>one</h1>" in page) == (200, True)


def test_unknown_page_is_404_and_names_the_pages(port: int) -> None:
    status, body = fetch(port, "/nope")
    assert status == 404
    assert b"/echo" in body


def test_echo_gives_back_method_path_headers_and_body(port: int) -> None:
    status, body = fetch(port, "/echo?a=%20b", "PUT", b"hello", X_Two="2")
    document = json.loads(body)
    assert status == 200
    assert (document["method"], document["path"], document["body"]) == ("PUT", "/echo?a=%20b", "hello")
    assert ["X-Two", "2"] in document["headers"]


def test_echo_holds_no_more_than_a_megabyte(port: int) -> None:
    assert fetch(port, "/echo", "POST", bytes(1024 * 1024))[0] == 200
    assert fetch(port, "/echo", "POST", bytes(1024 * 1024 + 1))[0] == 413


def test_bytes_streams_as_many_as_asked(port: int) -> None:
    status, body = fetch(port, "/bytes?n=3000001")
    assert (status, len(body)) == (200, 3000001)


def test_head_has_the_length_without_the_body(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)) as connection:
        for _ in range(2):  # a body sent in error would be taken for the second reply
            connection.request("HEAD", "/bytes?n=77")
            response = connection.getresponse()
            assert (response.status, response.headers["Content-Length"], response.read()) == (200, "77", b"")


def test_slow_answers_no_sooner_than_asked(port: int) -> None:
    began_s = time.monotonic()
    assert fetch(port, "/slow?ms=120")[0] == 200
    assert time.monotonic() - began_s >= 0.12


@pytest.mark.parametrize("path", ["/slow?ms=soon", "/slow?ms=-1", "/bytes?n=99999999999999", "/fail?on=perhaps"])
def test_wrong_parameters_are_400_and_quoted(port: int, path: str) -> None:
    status, body = fetch(port, path)
    assert status == 400
    assert path.partition("=")[2].encode() in body


def test_health_fails_on_request_and_heals_on_request() -> None:
    with backend() as (port, _):
        seen = [fetch(port, "/health")[0]]
        for method, switch in (("POST", "/fail"), ("GET", "/fail?on=0"), ("GET", "/fail?on=1"), ("GET", "/fail")):
            assert fetch(port, switch, method)[0] == 200
            seen.append(fetch(port, "/health")[0])
        assert seen == [200, 503, 200, 503, 503]
        assert fetch(port, "/")[0] == 200


def test_fail_rate_spares_the_health_check() -> None:
    with backend("--fail-rate", "1") as (port, _):
        assert [fetch(port, path)[0] for path in ("/", "/echo", "/health")] == [500, 500, 200]


def test_catch_all_says_which_request_came() -> None:
    with backend("--catch-all") as (port, _):
        status, body = fetch(port, "/any/where?q=1")
        lines = body.decode().splitlines()
        assert (status, lines[0].partition(" ")[2]) == (200, "GET /any/where?q=1")
        assert any(line.startswith("host: ") for line in lines)
        assert fetch(port, "/health")[1] == b"ok\n"


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    slow, quick = b"GET /slow?ms=50 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    replies = converse(port, slow * 2 + quick)
    assert [len(replies.split(word)) - 1 for word in (b"HTTP/1.1 200 OK", b"waited")] == [3, 2]
    assert replies.endswith(b"\r\n\r\none\n")


def test_what_is_not_http_is_400_after_the_replies_before_it(port: int) -> None:
    replies = converse(port, b"GET /slow?ms=20 HTTP/1.1\r\nHost: x\r\n\r\nrubbish\r\n\r\n")
    assert re.findall(rb"HTTP/1\.1 (\d+)", replies) == [b"200", b"400"]


def test_expect_continue_is_answered_before_the_body(port: int) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        client.sendall(head)
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hi")
        assert b'"body": "hi"' in b"".join(iter(lambda: client.recv(65536), b""))


def test_refused_upgrade_closes_the_connection(port: int) -> None:
    replies = converse(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert b"Connection: close" in replies


def test_idle_connection_is_closed_after_its_timeout() -> None:
    with backend("--keepalive-timeout", "50ms") as (port, _):
        reply = converse(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: keep-alive" in reply  # and yet `converse` saw the end


def test_websocket_says_back_text_and_bytes(port: int) -> None:
    async def talk() -> None:
        async with connect(f"ws://127.0.0.1:{port}/ws", compression=None) as client:
            for message in ("grüß", b"\x00\xff" * 70_000, ""):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["in ", "three ", "pieces"])
            assert await client.recv() == "in three pieces"
            await (await client.ping(b"there?"))
        assert client.close_code == 1000

    asyncio.run(asyncio.wait_for(talk(), LIMIT_S))


def test_websocket_needs_its_flag() -> None:
    with backend() as (port, _):
        status, body = fetch(port, "/ws")
        assert status == 404
        assert b"--websocket" in body


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_with_status_0_also_when_clients_are_connected(number: signal.Signals) -> None:
    with backend() as (port, process), socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536)
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, errors) == (0, "")


def test_port_in_use_is_one_line_and_status_1(port: int) -> None:
    again = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=LIMIT_S)
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in again.stderr


@pytest.mark.parametrize(
    ("flag", "value"), [("--port", "65536"), ("--delay", "soon"), ("--fail-rate", "2"), ("--name", "a\nb")]
)
def test_wrong_flags_are_quoted_with_what_is_allowed(flag: str, value: str) -> None:
    arguments = ["--port", "0", flag, value]
    refused = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    assert refused.returncode == 2
    assert flag in refused.stderr
    assert repr(value)[1:-1] in refused.stderr
    assert "Traceback" not in refused.stderr
