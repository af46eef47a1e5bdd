"""The admin client: addresses, and messages when no instance is running."""

import os
import socket
import threading
from pathlib import Path

import click
import pytest

from balance.cli.admin.admin_client import AdminClient, NoResponseError, NotRunningError, backend_path
from balance.cli.main import cli, run

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
]


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


@pytest.mark.parametrize("text", ["nonsense", "127.0.0.1:99999", "https://h", "ftp://h:1"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        AdminClient(text)


@pytest.mark.parametrize("form", ["{}", "http://{}/", ":{port}"])
def test_an_address_has_several_forms(instance: "Instance", form: str) -> None:  # type: ignore[name-defined]  # noqa: F821
    text = form.format(instance.address, port=instance.address.rpartition(":")[2])
    assert AdminClient(text).request("GET", "/health").document == {"status": "healthy"}


def speaking(sock: socket.socket, answer: bytes) -> threading.Thread:
    def serve() -> None:
        connection, _ = sock.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", NotRunningError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", NotRunningError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", NoResponseError),
        (b"220 mail ready\r\n", NoResponseError),
        (b"", NoResponseError),
    ],
)
def test_what_is_not_an_answer_of_ours_is_told(answer: bytes, error: type[Exception]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = speaking(sock, answer)
        with pytest.raises(error):
            AdminClient(f"127.0.0.1:{sock.getsockname()[1]}").request("GET", "/status")
        thread.join(10)


def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    with pytest.raises(NotRunningError, match="no such file"):
        AdminClient(f"unix:{path}").request("GET", "/status")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        thread = speaking(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert AdminClient(f"unix:{path}").request("GET", "/status").document == {}
        thread.join(10)


@pytest.mark.parametrize(
    ("name", "path"), [("a", "/backends/a"), ("app/a", "/backends/app/a"), ("a?b#é", "/backends/a%3Fb%23%C3%A9")]
)
def test_a_name_is_part_of_a_path(name: str, path: str) -> None:
    assert backend_path(name) == path


def test_help_names_the_address_and_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["status", "--help"]) == 0
    said = capsys.readouterr().out
    assert "BALANCE_ADMIN" in said
    assert "127.0.0.1:9090" in said
