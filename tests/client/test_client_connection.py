"""What happens where no sensible reply comes: no instance, another server, one that is slow, cut, huge."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from misbehaving_server import answering, json_reply, saying

from balance.cli.main import COMMANDS as MAIN_COMMANDS
from balance.cli.main import cli, run
from balance.client import (
    AccessError,
    BadReplyError,
    BrokenOffError,
    Client,
    ClientError,
    InternalError,
    NotBalanceError,
    TimeLimitError,
    UnreachableError,
)

COMMANDS = [
    ["status"],
    ["backends"],
    ["events"],
    ["drain", "a1"],
    ["enable", "a1"],
    ["maintenance", "a1"],
    ["disable", "a1"],
    ["weight", "a1", "3"],
    ["add", "a3", "127.0.0.1:1"],
    ["remove", "a1"],
    ["reload"],
    ["diff", os.devnull],
    ["restart"],
    ["upgrade"],
    ["stop"],
    ["routes"],
    ["autoscaler"],
    ["generations"],
    ["switch", "shop"],
    ["block", "192.0.2.1"],
    ["unblock", "192.0.2.1"],
    ["blocklist"],
    ["top"],
]


def test_no_command_is_forgotten() -> None:
    targets = {
        name for name, entry in MAIN_COMMANDS.items() if entry.target.startswith(("balance.cli.admin.", "balance.cli.top."))
    }
    assert {words[0] for words in COMMANDS} == targets


@pytest.fixture
def nowhere() -> str:
    """An address that refuses: it was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_every_command_says_what_to_do_where_nobody_answers(
    words: list[str], nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, [*words, "--admin", nowhere]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"balance: nobody answers at {nowhere} (connection refused); start one by 'balance serve', or say where its admin "
        "port is by --admin ADDRESS or BALANCE_ADMIN\n"
    )


def test_the_environment_names_the_address(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BALANCE_ADMIN", nowhere)
    assert run(cli, ["status"]) == 2
    assert f"nobody answers at {nowhere} " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nonsense", "127.0.0.1:99999", "https://h", "ftp://h:1", "", "h:1/x"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(AccessError):
        Client(text)


@pytest.mark.parametrize("form", ["{}", "http://{}/", ":{port}"])
def test_an_address_has_several_forms(form: str) -> None:
    with answering(json_reply('{"status": "healthy"}')) as (address, _):
        text = form.format(address, port=address.rpartition(":")[2])
        assert Client(text).health().is_ok


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello", NotBalanceError),
        (HEAD + b"Content-Length: 2\r\n\r\n[]", NotBalanceError),
        (HEAD + b"Content-Length: 2\r\n\r\n{}", NotBalanceError),
        (HEAD + b"Content-Length: 50\r\n\r\n{}", BrokenOffError),
        (HEAD + b'Content-Length: 9\r\n\r\n{"stage":', NotBalanceError),
        (HEAD + b"Content-Length: x\r\n\r\n{}", NotBalanceError),
        (HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"sta', BrokenOffError),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", BrokenOffError),
        (HEAD + b"\r\n" + b"[" * 100_000, NotBalanceError),
        (HEAD + b'Content-Length: 11\r\n\r\n{"stage": 1}', NotBalanceError),
        (HEAD + b'Content-Length: 12\r\n\r\n{"stage": 1}', BadReplyError),
        (HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", BrokenOffError),
        (HEAD + b"X: a\r\n" * 1000 + b"\r\n", BrokenOffError),
        (b'HTTP/1.1 500 Oh\r\nContent-Length: 22\r\n\r\n{"error": "it failed"}\n', InternalError),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}", InternalError),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", NotBalanceError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{}", ClientError),
        (b"220 mail ready\r\n", BrokenOffError),
        (b"\xff\x00" * 1000, BrokenOffError),
        (b"", BrokenOffError),
    ],
)
def test_what_is_not_an_answer_of_ours_is_told(answer: bytes, error: type[Exception]) -> None:
    with answering(saying(answer)) as (address, _), pytest.raises(error) as caught:
        Client(address, timeout_s=5.0).status()
    assert "\n" not in str(caught.value)


def test_a_reply_that_comes_a_byte_at_a_time_ends_with_the_time_limit() -> None:
    over = threading.Event()

    def drip(connection: socket.socket, head: bytes) -> None:
        for byte in HEAD * 1000:
            if over.wait(0.05):
                return
            connection.sendall(bytes([byte]))

    with answering(drip) as (address, heads):
        client = Client(address, timeout_s=0.3, order_timeout_s=0.2)
        with pytest.raises(TimeLimitError, match=r"has not answered within 0\.3s$"):
            client.status()
        with pytest.raises(TimeLimitError, match=r"within 0\.2s; it may still do what was asked"):
            client.restart()
        over.set()
    assert [head.split()[1] for head in heads] == [b"/status", b"/restart"]  # and no second time


def test_a_reply_without_end_is_not_taken_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.client.connection.MAX_REPLY_BYTES", 1 << 20)

    def flood(connection: socket.socket, head: bytes) -> None:
        connection.sendall(HEAD + b"Content-Type: text/event-stream\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with answering(flood) as (address, _):
        with pytest.raises(BadReplyError, match="more than 1 MB"):
            Client(address).status()
        with pytest.raises(BadReplyError, match="a line of more than 1 MB"):
            next(Client(address).events(0, reconnect=False))


def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    with pytest.raises(UnreachableError, match="no such file"):
        Client(f"unix:{path}").status()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()

        def serve() -> None:
            connection, _ = sock.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    HEAD + b'Content-Length: 20\r\n\r\n{"status": "healthy"}'[:0] + b"\r\n" + b'{"status": "ok"}'
                )

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert Client(f"unix:{path}").health().status == "ok"
        thread.join(10)


def test_who_accepts_and_says_nothing_is_not_waited_for_longer_than_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        began = time.monotonic()
        with pytest.raises(TimeLimitError):
            Client(f"127.0.0.1:{sock.getsockname()[1]}", timeout_s=0.1).status()
        with pytest.raises(BrokenOffError, match="no TLS handshake: it has not answered"):
            Client(f"https://127.0.0.1:{sock.getsockname()[1]}", connect_timeout_s=0.1).status()
        assert time.monotonic() - began < 10.0


def test_help_names_the_address_and_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["status", "--help"]) == 0
    said = capsys.readouterr().out
    assert "BALANCE_ADMIN" in said
    assert "127.0.0.1:9090" in said
