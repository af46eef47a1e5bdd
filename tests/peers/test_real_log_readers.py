"""The access log, and what clients send to break it, as others read it: rsyslog, logrotate, goaccess, jq."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, Origin, until
from server_processes import ServerProcesses, free_port, program

pytestmark = pytest.mark.long

# What clients send to end a line, a text or a column, or to stop a reader: freeunit PR 196, logstash#4339, higress#1649,
# nginx-module-vts#328, haproxy#2205 (the version behind a long path).
AGENTS = (
    b'Mozilla/5.0 "quoted" back\\slash',
    b"bytes \xff\xfe \xc3\x28",
    b'nested {"version":"7.0","uuid":"750E8975-4CBA"}',
    "separators \u2028 \u2029 \u0085 \u202e".encode(),
    b"percent %s %n %{x}i $msg %msg%",
    b"tab\there, ] [ and | -",
    b"() { :; }; /bin/bash -c \\x22",
)
LONG_PATH = "/" + "a/" * 1500


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    origin = Origin("app")
    yield origin
    origin.stop()


def config(origin: Origin, access_log: dict[str, Any], **logging: str) -> str:
    document = {
        "listen": "127.0.0.1:0",
        "workers": 2,
        "admin": {"listen": "127.0.0.1:0"},
        "backends": [{"name": "app", "address": origin.address}],
        "shutdown": {"delay": "0s"},
        "logging": {**logging, "access_log": {"enabled": True, **access_log}},
    }
    return json.dumps(document)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, origin: Origin) -> Iterator[Instance]:
    instance = Instance(tmp_path_factory.mktemp("instance"), config(origin, {"output": "/dev/null"})).ready()
    assert instance.port and instance.admin_port
    yield instance
    instance.destroy()


@pytest.fixture
def serve(instance: Instance, origin: Origin) -> Callable[..., Instance]:
    """The instance, reloaded with another access log, and with another log where `own` is given."""

    def begin(own: str = "stderr", **access_log: Any) -> Instance:
        instance.config.write_text(config(origin, access_log, output=own))
        admin = http.client.HTTPConnection("127.0.0.1", instance.admin_port, timeout=30)
        admin.request("POST", "/reload")
        assert admin.getresponse().status == 200
        admin.close()
        return instance

    return begin


def ask(instance: Instance, agent: bytes, path: str = "/") -> None:
    with socket.create_connection(("127.0.0.1", instance.port), 10) as client:
        head = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: %b\r\n\r\n" % (path.encode(), agent)
        client.sendall(head)
        while client.recv(65536):
            pass


def ask_all(instance: Instance) -> int:
    """How many requests were made."""
    for agent in AGENTS:
        ask(instance, agent)
    ask(instance, b"curl", LONG_PATH)
    return len(AGENTS) + 1


class Rsyslog:
    """It writes what it understood of each message, as JSON."""

    def __init__(self, folder: Path, source: str) -> None:
        self.received = folder / "received.json"
        fields = ("app-name", "procid", "msgid", "syslogfacility-text", "syslogseverity-text", "timestamp", "hostname", "msg")
        pieces = "".join(f'property(name="{name}" outname="{name}" format="jsonf") constant(value=",")' for name in fields[:-1])
        self._conf = folder / "rsyslog.conf"
        self._conf.write_text(
            f'global(workDirectory="{folder}" parser.escapeControlCharactersOnReceive="off")\n{source}\n'
            f'template(name="json" type="list") {{ constant(value="{{") {pieces} '
            f'property(name="msg" outname="msg" format="jsonf") constant(value="}}\\n") }}\n'
            f'action(type="omfile" file="{self.received}" template="json")\n'
        )
        self._folder = folder
        self._processes: list[ServerProcesses] = []
        self.start()

    def start(self) -> None:
        process = ServerProcesses(self._folder)
        process.start("rsyslog", [program("rsyslogd"), "-n", "-f", str(self._conf), "-i", str(self._folder / "rsyslog.pid")])
        self._processes.append(process)

    def stop(self) -> None:
        for process in self._processes:
            process.stop()
        (self._folder / "rsyslog.pid").unlink(missing_ok=True)

    def messages(self, count: int) -> list[dict[str, str]]:
        until(lambda: self.received.read_text().count("\n") >= count, lambda: f"{count} messages: {self.said()}")
        return [json.loads(line) for line in self.received.read_text().splitlines()]

    def said(self) -> str:
        return (self._folder / "rsyslog.log").read_text()


@pytest.mark.parametrize("transport", ["unix", "udp", "tcp"])
def test_rsyslog_understands_every_message(transport: str, serve: Callable[..., Instance], tmp_path: Path) -> None:
    port = free_port()
    source, output = {
        "unix": (
            f'module(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imuxsock" Socket="{tmp_path}/log" UseSpecialParser="off" RateLimit.Interval="0")',
            f"syslog:{tmp_path}/log",
        ),
        "udp": (
            f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{port}")',
            f"syslog+udp://127.0.0.1:{port}",
        ),
        "tcp": (
            f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{port}")',
            f"syslog+tcp://127.0.0.1:{port}",
        ),
    }[transport]
    reader = Rsyslog(tmp_path, source)
    try:
        if transport == "unix":
            until((tmp_path / "log").exists, "the socket")
        elif transport == "tcp":
            until(lambda: socket.create_connection(("127.0.0.1", port)), "rsyslog")
        else:
            until(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text(), "rsyslog")
        instance = serve(output=output)
        count = ask_all(instance)
        messages = reader.messages(count)
        assert len(messages) == count
        assert {(each["app-name"], each["msgid"], each["syslogfacility-text"]) for each in messages} == {
            ("balance", "access", "local7")
        }
        lines = [json.loads(each["msg"]) for each in messages]
        assert sorted(line["user_agent"].encode("latin-1") for line in lines) == sorted([*AGENTS, b"curl"])
        longest = next(line for line in lines if len(line["path"]) > 100)
        assert longest["version"] == "HTTP/1.1"
        assert longest["path"] == LONG_PATH or longest["path"].endswith("...")
        # The program's own log goes there as well.
        serve(own=output, output=output)
        said = until(lambda: [each for each in reader.messages(count + 1) if "is served" in each["msg"]], "the log's messages")
        assert (said[0]["msgid"], said[0]["syslogfacility-text"], said[0]["syslogseverity-text"]) == ("-", "daemon", "info")
    finally:
        reader.stop()


def test_rsyslog_that_is_restarted_gets_every_message(serve: Callable[..., Instance], tmp_path: Path) -> None:
    """haproxy#3153: the first messages after it went away were lost."""
    port = free_port()
    reader = Rsyslog(tmp_path, f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{port}")')
    try:
        until(lambda: socket.create_connection(("127.0.0.1", port)), "rsyslog")
        instance = serve(output=f"syslog+tcp://127.0.0.1:{port}")
        count = ask_all(instance)
        reader.messages(count)
        reader.stop()
        count += ask_all(instance)
        reader.start()
        count += ask_all(instance)
        assert len(reader.messages(count)) == count
        assert instance.metric("balance_log_lines_lost_total") == 0
    finally:
        reader.stop()


SHIPPED = (Path(__file__).parents[2] / "deployments" / "systemd" / "balance.logrotate").read_text()


@pytest.mark.parametrize("how", ["SHIPPED", "create\npostrotate\nkill -HUP {pid}\nendscript", "create", "copytruncate"])
def test_logrotate_loses_no_line_of_either_log(
    how: str, serve: Callable[..., Instance], tmp_path: Path, origin: Origin
) -> None:
    """logrotate#286: gigabytes of NUL without O_APPEND; traefik#11342, envoy#4631: one of two logs is forgotten."""
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    access, own = logs / "access.log", logs / "balance.log"
    instance = serve(own=str(own), output=str(access))
    until(lambda: own.exists() and "is served" in own.read_text(), "the log in a file")
    conf = tmp_path / "logrotate.conf"
    text = f"{logs}/*.log {{\nrotate 3\nsharedscripts\n{how.format(pid=instance.process.pid)}\n}}\n"
    if how == "SHIPPED":  # the file of deployments/systemd, with a process in place of systemd's service
        text = SHIPPED.replace("/var/log/balance", str(logs))
        text = text.replace(
            "! systemctl --quiet is-active balance || systemctl reload balance", f"kill -HUP {instance.process.pid}"
        )
        assert text.count(str(instance.process.pid)) == 1
    conf.write_text(text)
    conf.chmod(0o644)
    count = ask_all(instance)
    until(lambda: access.read_text().count("\n") == count, "the lines before")
    command = [program("logrotate"), "--force", "--state", str(tmp_path / "state"), str(conf)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "HUP" in text:
        until(lambda: own.exists() and "nothing changed" in own.read_text(), "a line in the new log")

    def lines_after() -> bool:
        ask(instance, b"after")
        return access.exists() and "after" in access.read_text()

    until(lines_after, "lines in the new file")
    rotated = (logs / "access.log.1").read_bytes()
    assert rotated.count(b'"user_agent": "curl"') == 1
    whole = rotated + access.read_bytes()
    assert b"\0" not in whole
    done = subprocess.run([program("jq"), "-r", ".why"], input=whole, capture_output=True)
    assert (done.returncode, set(done.stdout.split())) == (0, {b"ok"})
    assert len(done.stdout.split()) == len(whole.splitlines())
    assert instance.metric("balance_log_lines_lost_total") == 0


def test_goaccess_reads_every_line_of_combined(serve: Callable[..., Instance], tmp_path: Path) -> None:
    access, report = tmp_path / "access.log", tmp_path / "report.json"
    instance = serve(output=str(access), format="combined")
    count = ask_all(instance)
    until(lambda: access.exists() and access.read_text().count("\n") == count, "the lines")
    command = [program("goaccess"), str(access), "--no-global-config", "--log-format=COMBINED", "-o", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    general = json.loads(report.read_text())["general"]
    assert (general["valid_requests"], general["failed_requests"]) == (count, 0)
