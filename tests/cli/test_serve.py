"""`balance serve`: the configuration from a file or flags, and messages about invalid ones."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from balance.cli.main import run
from balance.cli.serve import serve_command

BAD = """\
listen: ":8080"
mode: htp
backends:
  - {address: "127.0.0.1:70000"}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BALANCE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_every_problem_of_a_file_is_told_at_once(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "bad.yaml").write_text(BAD)
    assert run(serve_command, ["--config", "bad.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("balance: bad.yaml:2:7: mode: 'htp' ")
    assert second.startswith("balance: bad.yaml:4:15: backends[0].address: ")


@pytest.mark.parametrize("spelling", ["--config", "-config", "-c"])
def test_a_file_that_cannot_be_read_is_exit_status_2(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(serve_command, [spelling, "missing.yaml"]) == 2
    assert capsys.readouterr().err == "balance: missing.yaml: can't be read: No such file or directory\n"


def test_without_any_flag_the_file_is_config_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(serve_command, []) == 2
    assert capsys.readouterr().err.startswith("balance: config.yaml: can't be read")


def test_the_environment_may_name_the_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BALANCE_CONFIG", "from-the-environment.yaml")
    assert run(serve_command, []) == 2
    assert "from-the-environment.yaml" in capsys.readouterr().err


def test_a_file_and_flags_together_are_refused_rather_than_one_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(serve_command, ["--config", "a.yaml", "--listen", ":1", "--log-level", "debug"]) == 2
    assert "a.yaml and --listen, --log-level: " in capsys.readouterr().err


def test_flags_are_checked_like_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(serve_command, ["--backend", "127.0.0.1", "--algorithm", "round-robbin"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("balance: --") for line in lines)


@pytest.fixture
def origin() -> Iterator[str]:
    """The URL of a backend."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.drill
def test_flags_alone_run_a_balancer(origin: str) -> None:
    flags = ["-port", "0", "-backends", origin, "-health-path", "/", "-health-interval", "1", "-health-timeout", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "balance", "serve", *flags, "--mode", "http", "--admin", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if line.endswith("supervisor: ready\n"):
                break
        match = re.search(r"http on :(\d+) to pool", said)
        assert match, said
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hi"
        connection.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.stderr.close()
    assert process.wait(20) == 0
