"""`balance healthcheck`: where it asks, what it makes of the answer, and how little it loads."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pem_files import self_signed

from balance.cli.healthcheck import MAX_REPLY, find_places, parse_place
from balance.cli.main import cli, run

HEALTHY = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"status":"healthy"}'
SICK = b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"status":"unhealthy","reasons":["worker 0 hangs","a\\u001b[0mb"]}'


class Answering:
    """Takes one connection after the other, and answers each with the same bytes."""

    def __init__(self, answer: bytes, sock: socket.socket | None = None, context: ssl.SSLContext | None = None) -> None:
        self.sock = sock or socket.create_server(("127.0.0.1", 0))
        self.answer, self.context, self.asked = answer, context, b""
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.sock.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                client = self.sock.accept()[0]
            except OSError:
                return
            try:
                if self.context:
                    client = self.context.wrap_socket(client, server_side=True)
                self.asked = client.recv(65536)
                client.sendall(self.answer)
            except OSError:
                pass
            client.close()


@pytest.fixture
def answering() -> Iterator[Callable[..., Answering]]:
    made: list[Answering] = []

    def make(*given: Any) -> Answering:
        made.append(Answering(*given))
        return made[-1]

    yield make
    for each in made:
        each.sock.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    for name in ("BALANCE_CONFIG", "BALANCE_ADMIN", "BALANCE_HEALTHCHECK_URL"):
        monkeypatch.delenv(name, raising=False)

    def command(*words: str) -> tuple[int, str, str]:
        status = run(cli, ["healthcheck", *words])
        return (status, *capsys.readouterr())

    return command


Say = Callable[..., tuple[int, str, str]]
Make = Callable[..., Answering]


@pytest.mark.parametrize(
    ("answer", "status", "out", "err"),
    [
        (HEALTHY, 0, "healthy\n", ""),
        (SICK, 1, "", "unhealthy: worker 0 hangs; a?[0mb\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, "status 200\n", ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\nno", 1, "", "status 404\n"),
        (b'HTTP/1.1 503 X\r\n\r\n{"status":', 1, "", "status 503\n"),
        (b"HTTP/1.1 503 X\r\n\r\n[]", 1, "", "status 503\n"),
    ],
)
def test_the_answer_decides(say: Say, answering: Make, answer: bytes, status: int, out: str, err: str) -> None:
    assert say("--admin", answering(answer).address) == (status, out, err)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1", b"HTTP/1.1 OK\r\n\r\n", b"x" * (MAX_REPLY + 1)])
def test_what_is_no_answer_is_no_health(say: Say, answering: Make, answer: bytes) -> None:
    status, out, err = say("--admin", answering(answer).address)
    assert (status, out) == (1, "")
    assert err.startswith("balance: 127.0.0.1:")


def test_nobody_there_and_somebody_silent_are_told_in_time(say: Say) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert say("--admin", address, "--timeout", "0.2") == (1, "", f"balance: {address}: timed out\n")
    assert say("--admin", address) == (1, "", f"balance: {address}: Connection refused\n")


def test_the_page_is_health_ready_or_the_one_of_the_url(say: Say, answering: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = answering(HEALTHY)
    say("--admin", server.address)
    assert server.asked.startswith(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
    say("--admin", server.address, "--ready")
    assert server.asked.startswith(b"GET /ready ")
    monkeypatch.setenv("BALANCE_HEALTHCHECK_URL", f"http://{server.address}/healthz")  # the older way
    assert say() == (0, "healthy\n", "")
    assert server.asked.startswith(b"GET /healthz ")


def test_tls_and_unix_sockets_are_asked_by_the_configuration(say: Say, answering: Make, tmp_path: Path) -> None:
    pair = self_signed("balance.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    secured = answering(HEALTHY, None, context)
    config = tmp_path / "balance.yaml"
    config.write_text(json.dumps({"admin": {"listen": secured.address, "tls": {"cert_file": "x", "key_file": "y"}}}))
    assert say("--config", str(config)) == (0, "healthy\n", "")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "admin.sock"))
    sock.listen()
    answering(HEALTHY, sock)
    config.write_text(json.dumps({"admin": {"listen": f"unix:{tmp_path}/admin.sock"}}))
    assert say("--config", str(config)) == (0, "healthy\n", "")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ["127.0.0.1:9090"]),
        ("listen: :8080", ["127.0.0.1:9090"]),
        ("admin: {listen: ':9999'}", ["127.0.0.1:9999"]),
        ("admin: {listen: '0.0.0.0:9999'}", ["127.0.0.1:9999"]),
        ("admin: {listen: '[::]:9999'}", ["[::1]:9999"]),
        ("admin: {listen: '10.0.0.1:${PORT}'}", ["10.0.0.1:1234"]),
        ("admin: {listen: ':9999', tls: {cert_file: a}}", ["https://127.0.0.1:9999"]),
        ("admin: {listen: ':9999', tls: {enabled: false}}", ["127.0.0.1:9999"]),
        ("metrics: {listen: ':9091'}", ["127.0.0.1:9091", "127.0.0.1:9090"]),
        ("{metrics: {listen: ':9091'}, admin: {enabled: false}}", ["127.0.0.1:9091"]),
        ("{metrics: {listen: ':9091', enabled: false}}", ["127.0.0.1:9090"]),
        ("admin: {enabled: false}", []),
        ("admin: {listen: nonsense}", []),
        ("admin: [1", ["127.0.0.1:9090"]),  # the instance goes on with what the file was before
        ("admin: 3", ["127.0.0.1:9090"]),
    ],
)
def test_the_file_says_where(tmp_path: Path, text: str, places: list[str]) -> None:
    file = tmp_path / "balance.yaml"
    file.write_text(text)
    assert [str(each) for each in find_places(str(file), None, {"PORT": "1234"})] == places


def test_without_any_port_nothing_is_unhealthy(say: Say, tmp_path: Path) -> None:
    """poweradmin 851: a container whose admin port is switched off was unhealthy for ever."""
    file = tmp_path / "balance.yaml"
    file.write_text("admin: {enabled: false}")
    assert say("--config", str(file))[0] == 0


def test_without_a_file_it_is_the_usual_address_and_the_environment_may_say_another() -> None:
    assert [str(each) for each in find_places("/nowhere/x.yaml", None, {})] == ["127.0.0.1:9090"]
    assert [str(each) for each in find_places(None, None, {"BALANCE_ADMIN": ":1"})] == ["127.0.0.1:1"]
    assert [str(each) for each in find_places(None, ":2", {"BALANCE_ADMIN": ":1"})] == ["127.0.0.1:2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://localhost:9091/healthz", "localhost:9091/healthz"),
        ("http://localhost/healthz", "localhost:80/healthz"),
        ("https://[::1]:1/", "https://[::1]:1"),
        ("https://[::1]", "https://[::1]:443"),
        ("unix:/run/balance/admin.sock", "unix:/run/balance/admin.sock"),
    ],
)
def test_an_address_may_be_a_url(text: str, said: str) -> None:
    assert str(parse_place(text)) == said


def test_it_loads_little() -> None:
    """S45: it runs every ten seconds in every container."""
    code = (
        "import sys; sys.argv[1:] = ['healthcheck', '--timeout', '0.1']; from balance.cli.main import cli, run; run(cli);"
        "print(*(name for name in ('asyncio', 'pydantic', 'ssl', 'uvloop', 'http.client', 'balance.config.build')"
        " if name in sys.modules))"
    )
    env = {"PATH": "/bin", "BALANCE_ADMIN": "127.0.0.1:1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, env=env)
    assert done.stdout == "\n"


def test_it_asks_a_real_admin_port(instance: Any, say: Say) -> None:
    assert say("--admin", instance.address) == (0, "healthy\n", "")
