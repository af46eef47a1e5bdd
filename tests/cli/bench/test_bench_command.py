"""The commands as users run them, over real servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "top"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tls"))

from pem_files import self_signed
from pseudo_terminal import PseudoTerminal

from balance.cli.bench.command import latency_test_command, plan_of, tcp_bench_command
from balance.cli.main import run

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Echo(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.served = threading.Semaphore(0)  # released once by each connection, when its first reply has been read

    def finish_request(self, request: Any, client_address: Any) -> None:
        replies = 0
        while data := request.recv(65536):
            replies += 1
            if replies == 2:  # whoever asks again has read the first
                self.served.release()
            request.sendall(data)


@pytest.fixture
def echo_server() -> Iterator[Echo]:
    with Echo() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def echo(echo_server: Echo) -> str:
    return f"127.0.0.1:{echo_server.server_address[1]}"


def balance(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "balance", *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to test: a URL, or HOST:PORT"),
        (["http://u:p@h/"], "a URL with a password in it is not used"),
        (["nohost"], "'nohost'"),
        (["-d", "0", "h:1"], "-d must be longer than 0"),
        (["-s", "64 kilo", "h:1"], "is not a size"),
        (["-H", "X: y", "h:1"], "-H and -X are for HTTP"),
        (["-H", "Content-Length: 1", "http://h/"], "this tool's own"),
        (["-H", "bad\r\nX: y", "http://h/"], "is no field"),
        (["-X", "HEAD", "http://h/"], "neither HEAD nor CONNECT"),
        (["--insecure", "http://h/"], "are for https://"),
        (["--reply-size", "1", "http://h/"], "--reply-size is for HOST:PORT"),
        (["-s", "0", "h:1"], "nothing to send"),
        (["--processes", "many", "h:1"], "neither auto nor a number"),
        (["--rate", "0", "h:1"], "--rate"),
    ],
)
def test_what_means_nothing_is_refused_in_a_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(latency_test_command, words, name="latency-test") == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("command", [tcp_bench_command, latency_test_command])
def test_help_has_examples(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert "Exit status:" in text


def given(**changes: Any) -> dict[str, Any]:
    return {
        "target": "h:1", "connections": 10, "requests": None, "duration_s": 30.0, "size": None, "rate": None, "warmup_s": None,
        "is_keepalive": True, "timeout_s": 10.0, "processes": 1, "reply_size": None, "method": "GET", "fields": (),
        "ca_file": None, "insecure": False, "certificate": None, "key": None, "servername": None, **changes,
    }  # fmt: skip


def test_what_is_not_said_has_a_sense() -> None:
    assert (plan_of(**given()).warmup_s, plan_of(**given()).size) == (1.0, 64)
    assert plan_of(**given(duration_s=2.0)).warmup_s == pytest.approx(0.2)
    assert plan_of(**given(requests=5, duration_s=None, processes=8)).processes == 5
    assert plan_of(**given(requests=5, duration_s=None)).warmup_s == 0


def test_nobody_there_is_a_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tcp_bench_command, ["-n", "1", "127.0.0.1:1"], name="tcp-bench") == 1
    assert capsys.readouterr().err == "tcp-bench: cannot connect to tcp://127.0.0.1:1: 127.0.0.1 port 1: Connection refused\n"


@pytest.mark.long
def test_processes_send_exactly_what_was_asked_and_a_pipe_gets_the_result_alone(echo: str, tmp_path: Path) -> None:
    """k6#1580: nothing of a progress bar in a pipe."""
    file = tmp_path / "runs.json"
    words = ["-c", "7", "-n", "501", "-s", "1KB", "--processes", "3", "-o", str(file), echo]
    done = balance("tcp-bench", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Requests      501" in done.stdout
    assert "3 processes" in done.stdout
    assert "\r" not in done.stdout and "\x1b" not in done.stdout
    again = balance("tcp-bench", *words, "--json")
    document = json.loads(again.stdout)
    assert (document["requests"], document["errors"], sum(document["histogram"].values())) == (501, {}, 501)
    tool = document["tool"]
    assert tool["cpu_user_s"] + tool["cpu_system_s"] > 0  # where the kernel counts by ticks, a short run may be either's alone
    assert len(file.read_text().splitlines()) == 2
    compared = balance("latency-test", "--compare", str(file), str(file))
    assert (compared.returncode, compared.stderr) == (0, "")
    assert "1.000" in compared.stdout


@pytest.mark.long
def test_a_rate_is_kept_and_the_time_too(echo: str) -> None:
    """vegeta#244: the run ends when it was to end."""
    began = time.monotonic()
    # Without a warm-up, of which up to four would be in flight at its end and counted.
    words = ("-c", "4", "-d", "1s", "--rate", "300", "--warmup", "0s", "--json", echo)
    document = json.loads(balance("latency-test", *words).stdout)
    assert document["requests"] + document["never_sent"] == pytest.approx(300, abs=3)
    assert 1.0 <= document["elapsed_s"] < 1.5
    assert time.monotonic() - began < 15


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_prints_what_there_is(echo_server: Echo, echo: str, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "balance", "latency-test", "-c", "2", "-d", "50s", "--processes", "2",
         "--warmup", "0", "--json", echo],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for _ in range(2):  # each process has one connection
        assert echo_server.served.acquire(timeout=30)
    os.killpg(process.pid, number)  # as a terminal does: to all its processes
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    document = json.loads(out)
    assert document["interrupted"] is True
    assert document["requests"] > 0
    assert document["elapsed_s"] < 20


@pytest.mark.long
def test_a_terminal_has_a_line_of_progress_that_goes(echo: str) -> None:
    with PseudoTerminal(["latency-test", "-c", "2", "-d", "2s", "--warmup", "0", echo], width=100, height=60) as terminal:
        terminal.until_shown("[##", "%", "replies")
        terminal.until_shown("This tool")
        assert "[##" not in terminal.text


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """Its URLs (plain, and TLS), and the certificate."""
    if NGINX is None:
        pytest.skip("no nginx")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    pair = self_signed("localhost")
    folders = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "long").write_bytes(b"x" * 300_000)
    user = "user root; " if os.geteuid() == 0 else ""
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"{user}daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {folders} gzip on; gzip_min_length 1; gzip_types *; server {{ listen 127.0.0.1:{ports[0]};"
        f" listen 127.0.0.1:{ports[1]} ssl; keepalive_requests 50; root {tmp_path}/page;"
        f" ssl_certificate {pair.cert}; ssl_certificate_key {pair.key}; location = / {{ return 200 hello; }}"
        f" location = /no {{ return 404; }} }} }}"
    )
    process = subprocess.Popen([NGINX, "-c", str(config)])
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", ports[0])).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{ports[0]}", f"https://localhost:{ports[1]}", pair.cert
    finally:
        process.terminate()
        process.wait()


@pytest.mark.long
def test_nginx_is_measured_in_each_of_its_ways(nginx: tuple[str, str, Path]) -> None:
    plain, tls, certificate = nginx
    for words in (
        [f"{plain}/"],  # which says close at each 50th
        [f"{plain}/long"],
        ["-H", "Accept-Encoding: gzip", f"{plain}/long"],  # in chunks
        ["--no-keepalive", f"{plain}/"],
        ["--cacert", str(certificate), f"{tls}/"],
        ["--insecure", "--no-keepalive", f"{tls}/"],
    ):
        done = balance("latency-test", "-c", "3", "-n", "200", "--json", *words)
        assert done.stderr == "", words
        document = json.loads(done.stdout)
        assert (done.returncode, document["requests"], document["errors"]) == (0, 200, {}), words
    missing = balance("latency-test", "-n", "5", f"{plain}/no")
    assert missing.returncode == 1
    assert "5 x status 404" in missing.stdout


@pytest.mark.long
def test_what_is_wrong_with_the_server_is_said(nginx: tuple[str, str, Path], echo: str) -> None:
    plain, tls, _ = nginx
    for words, message in (
        ([plain.removeprefix("http://"), "--timeout", "1s"], "the server speaks HTTP: give its URL"),
        ([f"{tls}/"], "self-signed certificate"),
        ([f"http://{echo}/"], "the server does not speak HTTP"),
    ):
        done = balance("latency-test", "-c", "2", "-n", "4", *words)
        assert done.returncode == 1
        assert message in done.stdout + done.stderr, words
