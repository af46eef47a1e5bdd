"""Google's gRPC for Python on both sides of Balance: all kinds of calls, their statuses, deadlines and cancels, and a drain."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from instance_process import Instance, until
from pem_files import authority
from server_processes import ServerProcesses, free_port

from balance.grpc.web_frames import TextDecoder

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

SERVER = Path(__file__).parent / "apps" / "calls_server.py"
NO_LIMIT = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
]
PATIENCE_S = 20.0


class Site:
    """Two servers and a Balance before them."""

    def __init__(self, processes: ServerProcesses, **keys: Any) -> None:
        self.ports = {name: free_port() for name in "ab"}
        self._folder = processes.folder
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        for name in self.ports:
            self.begin(name)
        processes.wait_for({name: f"127.0.0.1:{port}" for name, port in self.ports.items()})
        backends = [{"name": name, "address": f"127.0.0.1:{port}"} for name, port in self.ports.items()]
        dead = free_port()
        document = {
            "workers": 2,
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s"},
            "http": {"h2c": True},
            "backend_protocol": "h2c",
            "listeners": [
                {"name": "main", "listen": "127.0.0.1:0", "pool": "main"},
                {"name": "dead", "listen": "127.0.0.1:0", "pool": "dead"},
                {"name": "aged", "listen": "127.0.0.1:0", "pool": "main", "http": {"http2": {"max_connection_age": "300ms"}}},
                {"name": "web", "listen": "127.0.0.1:0", "pool": "main", "http": {"grpc_web": True}},
            ],
            "pools": {
                "main": {
                    "backends": backends,
                    "health_check": {"enabled": True, "type": "grpc", "interval": "1s", "timeout": "500ms"},
                    "retry": {"on": ["connect", "reset", "unavailable", "cancelled"], "budget": {"min_per_second": 1000}},
                },
                "dead": {"backends": [{"name": "dead", "address": f"127.0.0.1:{dead}"}]},
            },
        }
        self.instance = Instance(processes.folder, json.dumps({**document, **keys})).ready()
        for name in self.ports:
            self.instance.saying(rf"backend main/{name} .* is healthy")
        self.dead = int(self.instance.saying(r"listener dead: \w+ on \S*:(\d+) to ")[1])
        self.aged = int(self.instance.saying(r"listener aged: \w+ on \S*:(\d+) to ")[1])
        self.web = int(self.instance.saying(r"listener web: \w+ on \S*:(\d+) to ")[1])
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.instance.port}", options=NO_LIMIT)

    def unary(self, method: str, request: bytes = b"", timeout: float | None = PATIENCE_S, **more: Any) -> bytes:
        answer: bytes = self.channel.unary_unary(f"/t.T/{method}")(request, timeout=timeout, **more)
        return answer

    def begin(self, name: str) -> None:
        """Start a server."""
        with open(self._folder / f"grpc-{name}.log", "ab") as log:
            command = [sys.executable, str(SERVER), str(self.ports[name]), name]
            self._servers[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def end(self, name: str) -> None:
        """Have a server end by itself."""
        self._servers[name].terminate()
        self._servers[name].wait(PATIENCE_S)

    def close(self) -> None:
        self.channel.close()
        self.instance.destroy()
        for name in self.ports:
            self.end(name)


@pytest.fixture(scope="module")
def site(processes: ServerProcesses) -> Iterator[Site]:
    made = Site(processes)
    yield made
    made.close()


def test_each_call_of_one_channel_is_balanced_on_its_own(site: Site) -> None:
    assert Counter(site.unary("name") for _ in range(20)) == {b"a": 10, b"b": 10}


@pytest.mark.parametrize("size", [0, 1, 16_384, 100_000, 20_000_000])
def test_messages_of_any_size_pass_both_ways(site: Site, size: int) -> None:
    message = bytes(range(256)) * (size // 256 + 1)
    assert site.unary("echo", message[:size]) == message[:size]


def test_a_stream_of_the_server(site: Site) -> None:
    answers = site.channel.unary_stream("/t.T/count")(b"1000", timeout=PATIENCE_S)
    assert list(answers) == [b"%d" % number for number in range(1000)]


def test_a_stream_of_the_client(site: Site) -> None:
    answer = site.channel.stream_unary("/t.T/total")((b"x" * 1000 for _ in range(500)), timeout=PATIENCE_S)
    assert answer == b"500000"


def test_streams_both_ways_answer_each_other(site: Site) -> None:
    """Each message is sent when the one before has been answered."""
    may_go = threading.Semaphore(1)

    def requests() -> Iterator[bytes]:
        for number in range(20):
            assert may_go.acquire(timeout=PATIENCE_S)
            yield b"%d" % number

    seen = []
    for answer in site.channel.stream_stream("/t.T/chat")(requests(), timeout=PATIENCE_S):
        seen.append(answer.split()[1])
        may_go.release()
    assert seen == [b"%d" % number for number in range(20)]


def test_many_calls_at_once(site: Site) -> None:
    calls = [site.channel.unary_unary("/t.T/echo").future(b"%d" % number, timeout=PATIENCE_S) for number in range(300)]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]


def test_a_cancel_reaches_the_server(site: Site) -> None:
    def cancelled() -> int:
        return sum(int(site.unary("counted", b"cancelled")) for _ in range(2))  # of each server

    before = cancelled()
    call = site.channel.unary_stream("/t.T/wait")(b"", timeout=PATIENCE_S)
    assert next(call) == b"waiting"
    call.cancel()
    until(lambda: cancelled() > before, "the server saw the cancel")


def test_a_deadline_is_told_to_the_server_and_kept(site: Site) -> None:
    assert 8 < float(site.unary("left", timeout=10)) <= 10.2  # its client rounds up
    assert float(site.unary("left", timeout=None)) > 1e6  # none
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        site.unary("silent", b"3", timeout=0.3)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=lambda code: code.name
)
def test_a_status_its_message_and_its_fields_pass(site: Site, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        site.unary("fail", b"%d" % code.value[0])
    error = raised.value
    assert (error.code(), error.details()) == (code, "größer als 100 %\n")
    trailing = dict(error.trailing_metadata())
    assert (trailing["x-last"], trailing["x-bytes-bin"]) == ("word", b"\x00\xff")


def test_a_status_behind_messages_passes(site: Site) -> None:
    call = site.channel.unary_stream("/t.T/fail_late")(b"5", timeout=PATIENCE_S)
    seen = []
    with pytest.raises(grpc.RpcError) as raised:
        seen.extend(iter(lambda: next(call), None))
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.NOT_FOUND, "after two")


def test_a_status_comes_while_the_client_is_still_sending(site: Site) -> None:
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"7"
        over.wait(PATIENCE_S)

    for _ in range(3):
        with pytest.raises(grpc.RpcError) as raised:
            site.channel.stream_unary("/t.T/fail_early")(requests(), timeout=PATIENCE_S)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    over.set()
    assert site.unary("echo", b"and the connection goes on") == b"and the connection goes on"


def test_large_fields_pass_both_ways(site: Site) -> None:
    given = [("x-large", "v" * 7000), ("x-other", "w" * 4000), ("x-some-bin", bytes(range(256)) * 8)]
    answer, call = site.channel.unary_unary("/t.T/fields").with_call(b"", metadata=given, timeout=PATIENCE_S)
    assert answer == b""
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert {key: initial.get(key) for key, _ in given} == dict(given)
    assert {key: trailing.get(key) for key, _ in given[1:]} == dict(given[1:])


def test_the_health_service_can_be_asked_through_it(site: Site) -> None:
    answer = site.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=PATIENCE_S)
    assert answer == b"\x08\x01"


def test_an_error_of_ours_has_a_status_and_says_why(site: Site) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{site.dead}") as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/t.T/name")(b"", timeout=PATIENCE_S)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert raised.value.details() == "the backend could not be reached (connect_refused)"


def test_a_listed_status_is_tried_at_the_other_server(site: Site) -> None:
    answers = Counter(site.unary("fail_once") for _ in range(6))
    assert set(answers) <= {b"a 1", b"b 1"}
    assert answers.total() == 6


@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.parametrize(
    ("method", "message", "messages"), [("echo", b"hello", [b"hello"]), ("count", b"3", [b"0", b"1", b"2"])]
)
def test_a_browsers_call_is_served_by_the_same_server(
    site: Site, method: str, message: bytes, messages: list[bytes], is_text: bool
) -> None:
    def frame(data: bytes, flag: bytes = b"\0") -> bytes:
        return flag + len(data).to_bytes(4, "big") + data

    body, kind = frame(message), "application/grpc-web-text" if is_text else "application/grpc-web+proto"
    connection = http.client.HTTPConnection("127.0.0.1", site.web, timeout=PATIENCE_S)
    fields = {"Content-Type": kind, "X-Grpc-Web": "1"}
    connection.request("POST", f"/t.T/{method}", base64.b64encode(body) if is_text else body, fields)
    reply = connection.getresponse()
    got = reply.read()
    connection.close()
    if is_text:
        decoder = TextDecoder()
        got = decoder.feed(got)
        assert decoder.is_whole
    assert (reply.status, (reply.getheader("content-type") or "").partition("+")[0]) == (200, kind.partition("+")[0])
    said, _, trailers = got.partition(b"\x80")
    assert said == b"".join(frame(each) for each in messages)
    assert b"grpc-status:0\r\n" in trailers


def test_a_browser_gets_a_status_without_messages(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.web, timeout=PATIENCE_S)
    connection.request("POST", "/t.T/fail", b"\0\0\0\0\x017", {"Content-Type": "application/grpc-web+proto"})
    reply = connection.getresponse()
    assert (reply.status, reply.getheader("grpc-status"), reply.read()) == (200, "7", b"")
    connection.close()


def test_calls_are_counted_by_status(site: Site) -> None:
    assert site.instance.metric(r'balance_grpc_calls_total\{[^ ]*status="OK"[^ ]*') > 100
    assert site.instance.metric(r'balance_grpc_calls_total\{[^ ]*status="NOT_FOUND"[^ ]*') >= 2


# --- under load -------------------------------------------------------------------------------------------------


class Load:
    """Calls of several kinds, by threads, until it is over; what failed."""

    def __init__(self, site: Site, port: int = 0) -> None:
        """`port` is that of another listener than the usual one."""
        self._port = port or site.instance.port
        self.answers: Counter[bytes] = Counter()
        self.failures: list[str] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(4)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        options = [*NO_LIMIT, ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self._port}", options=options) as channel:
            while not self._is_over.is_set():
                try:
                    self.answers[channel.unary_unary("/t.T/name")(b"", timeout=PATIENCE_S)] += 1
                    if number == 0:
                        assert len(list(channel.unary_stream("/t.T/count")(b"50", timeout=PATIENCE_S))) == 50
                    elif number == 1:
                        requests = iter([b"1", b"2", b"3"])
                        assert len(list(channel.stream_stream("/t.T/chat")(requests, timeout=PATIENCE_S))) == 3
                except Exception as error:
                    self.failures.append(f"{type(error).__name__}: {error}"[:400])

    def has_done(self, more: int) -> None:
        """Wait for so many more answers."""
        goal = self.answers.total() + more
        until(lambda: self.answers.total() >= goal or self.failures, "the load goes on")

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


def test_a_server_that_is_drained_fails_no_call(site: Site) -> None:
    load = Load(site)
    load.has_done(50)
    assert site.instance.command("drain", "b")[0] == 0
    load.has_done(50)
    before = load.answers[b"b"]
    load.has_done(50)
    after = load.answers[b"b"]
    assert site.instance.command("enable", "b")[0] == 0
    until(lambda: load.answers[b"b"] > after or load.failures, "b is back")
    load.end()
    assert load.failures == []
    assert after == before


def test_a_server_that_ends_by_itself_fails_no_call(site: Site) -> None:
    """It says so by GOAWAY: what it has not looked at goes elsewhere, and what it has begun ends there. Calls that its library
    had taken and not begun it ends as CANCELLED."""
    load = Load(site)
    load.has_done(50)
    site.end("b")
    load.has_done(100)
    site.begin("b")
    before = load.answers[b"b"]
    until(lambda: load.answers[b"b"] > before or load.failures, "b is back")
    load.end()
    assert load.failures == []


def test_connections_that_grow_old_again_and_again_fail_no_call(site: Site) -> None:
    def taken() -> float:
        return site.instance.metric("balance_connections_total")

    before = taken()
    load = Load(site, site.aged)
    until(lambda: taken() >= before + 12 or load.failures, "each of four channels has had three connections")
    load.end()
    assert load.failures == []


def test_tls_on_both_sides_speaks_it_by_negotiation(processes: ServerProcesses) -> None:
    ca = authority()
    certificate, key = ca.issue("localhost")[:2]
    tls_port = free_port()
    processes.start("grpc-tls", [sys.executable, str(SERVER), str(tls_port), "tls", str(certificate), str(key)])
    processes.wait_for({"grpc-tls": f"127.0.0.1:{tls_port}"})
    document = {
        "admin": {"listen": "127.0.0.1:0"},
        "listeners": [{"name": "main", "listen": "127.0.0.1:0", "pool": "main"}],
        "tls": {"enabled": True, "certificates": [{"cert_file": str(certificate), "key_file": str(key)}]},
        "pools": {
            "main": {
                "backends": [{"name": "s", "address": f"https://localhost:{tls_port}", "protocol": "auto"}],
                "tls": {"ca_file": str(ca.cert)},
            }
        },
    }
    instance = Instance(processes.folder, json.dumps(document)).ready()
    try:
        credentials = grpc.ssl_channel_credentials(ca.cert.read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"127.0.0.1:{instance.port}", credentials, options) as channel:
            assert channel.unary_unary("/t.T/name")(b"", timeout=PATIENCE_S) == b"tls"
    finally:
        instance.destroy()


@pytest.mark.long
def test_reloads_restarts_and_upgrades_fail_no_call(site: Site) -> None:
    load = Load(site)
    for command in (("reload",), ("restart",), ("upgrade",), ("restart",)):
        load.has_done(100)
        status, said = site.instance.command(*command)
        assert status == 0, said
    load.has_done(100)
    load.end()
    assert load.failures == []
