"""The dashboard of a real instance: hostile readers, many tabs, a backend that dies, a reload that fails, a restart."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, until

from balance.admin.dashboard.feed import MAX_STREAMS
from balance.admin.dashboard.state.merge_patch import patched

pytestmark = pytest.mark.long

CHANGE = "a-token-to-change-things-0123"
TEXT = """\
admin: {listen: "127.0.0.1:0"%s}
listeners: [{name: main, listen: "127.0.0.1:0", pool: app}]
pools:
  app:
    health_check: {enabled: true, type: tcp, interval: 100ms, unhealthy_threshold: 1}
    backends: [{name: a1, address: "127.0.0.1:%d"}, {name: a2, address: "127.0.0.1:%d"}]
"""


@pytest.fixture
def backend() -> Iterator[socket.socket]:
    """Accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server


@contextlib.contextmanager
def serving(tmp_path: Path, backend: socket.socket, auth: str = "") -> Iterator[Instance]:
    port = backend.getsockname()[1]
    instance = Instance(tmp_path, TEXT % (auth, port, port))
    try:
        yield instance.ready()
    finally:
        instance.destroy()


class Stream:
    """What a page knows: the document after all events so far."""

    def __init__(self, instance: Instance, **fields: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", instance.admin_port, timeout=20)
        self._connection.request("GET", "/dashboard/stream", headers=fields)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.document: dict[str, Any] = {}

    def next(self) -> str:
        """Read one event; its kind."""
        fields: dict[str, str] = {}
        while True:
            line = self._response.readline().decode()
            if not line:
                return "eof"
            if line == "\n" and "data" in fields:
                break
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
        data = json.loads(fields["data"])
        if fields["event"] == "state":
            self.document = data
        elif fields["event"] == "delta":
            self.document = patched(self.document, data)
        return fields["event"]

    def shows(self, condition: Any) -> Any:
        """Read on until the document has it."""
        for _ in range(30):
            if found := condition(self.document):
                return found
            assert self.next() != "eof"
        raise AssertionError(json.dumps(self.document)[:3000])

    def close(self) -> None:
        self._connection.close()


def test_eight_tabs_see_a_backend_die_with_its_reason(tmp_path: Path, backend: socket.socket) -> None:
    with serving(tmp_path, backend) as instance:
        tabs = [Stream(instance) for _ in range(8)]
        for tab in tabs:
            tab.shows(lambda document: document.get("backends", {}).get("app/a1", {}).get("state") == "healthy")
        backend.close()
        for tab in tabs:
            row = tab.shows(lambda document: document["backends"]["app/a1"]["out"] and document["backends"]["app/a1"])
            assert row["reason"].startswith("Its health checks fail (connection refused)")
            assert row["check"]["text"] == "connection refused"
            assert tab.shows(lambda document: document["pools"]["app"].get("reason"))
        assert tabs[0].document["control"]["streams"] == 8
        assert tabs[0].document["seq"] == tabs[7].document["seq"] or tabs[0].next() == "delta"
        for tab in tabs:
            tab.close()


def test_a_thousand_streams_that_are_never_read_leave_room(tmp_path: Path, backend: socket.socket) -> None:
    with serving(tmp_path, backend) as instance:
        hostile = []
        refused = 0
        for _ in range(1000):
            sock = socket.create_connection(("127.0.0.1", instance.admin_port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET /dashboard/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            hostile.append(sock)
            refused += len(hostile) > MAX_STREAMS
        assert refused == 1000 - MAX_STREAMS
        document = until(lambda: instance.ask("/dashboard/state")[1], "an operator is let in")
        assert document["control"]["streams"] <= MAX_STREAMS
        control = document["instance"]["control_pid"]
        assert instance.ask("/status")[0] == 200
        assert instance.get("/ready", instance.admin_port)[0] == 200
        with open(f"/proc/{control}/status") as file:
            resident_kb = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        assert resident_kb < 150_000
        for sock in hostile:
            sock.close()
        until(lambda: instance.ask("/dashboard/state")[1]["control"]["streams"] == 0, "their places are given back")
        stream = Stream(instance)
        assert stream.next() == "state"
        stream.close()


def test_a_reload_that_fails_shows_the_place_in_the_file(tmp_path: Path, backend: socket.socket) -> None:
    with serving(tmp_path, backend) as instance:
        stream = Stream(instance)
        good = instance.config.read_text()
        instance.config.write_text(good.replace("name: a2", "nam: a2"))
        instance.process.send_signal(signal.SIGHUP)
        failed = stream.shows(
            lambda document: [each for each in document.get("reloads", {}).values() if each["result"] == "failure"]
        )
        assert f"{instance.config}:6:" in failed[0]["problems"] and "nam" in failed[0]["problems"]
        assert failed[0]["origin"] == "SIGHUP"
        instance.config.write_text(good.replace("name: a2", "name: a3"))
        instance.process.send_signal(signal.SIGHUP)
        changed = stream.shows(
            lambda document: [each for each in document["reloads"].values() if "a3" in each.get("changes", "")]
        )
        assert changed[0]["current"] is True
        assert "app/a3" in stream.document["backends"] and "app/a2" not in stream.document["backends"]
        stream.close()


def test_a_page_signs_in_drains_and_survives_control(tmp_path: Path, backend: socket.socket) -> None:
    auth = f", auth: {{tokens: [{{name: ops, token: {CHANGE}}}]}}"
    with serving(tmp_path, backend, auth) as instance:
        assert Stream(instance).status == 401
        host = f"127.0.0.1:{instance.admin_port}"

        def order(method: str, path: str, body: object, **fields: str) -> tuple[int, Any, http.client.HTTPMessage]:
            connection = http.client.HTTPConnection(host, timeout=20)
            connection.request(method, path, json.dumps(body), {"Origin": f"http://{host}", **fields})
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers

        status, session, headers = order("POST", "/dashboard/session", {"token": CHANGE})
        assert status == 200
        cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
        stream = Stream(instance, **cookie)
        row = stream.shows(lambda document: document.get("backends", {}).get("app/a1"))
        key = {"Authorization": f"Bearer {session['key']}", "If-Match": f'"{row["version"]}"'}
        assert order("PATCH", "/backends/app/a1", {"state": "drain"}, **cookie)[0] == 401  # a cookie orders nothing
        _, preview, _ = order("PATCH", "/backends/app/a1?dry_run=true", {"state": "drain"}, **key)
        assert "1 of 2 backends of pool app stay" in preview["preview"]
        assert order("PATCH", "/backends/app/a1", {"state": "drain"}, **key)[0] == 200
        assert order("PATCH", "/backends/app/a1", {"state": "enable"}, **key)[0] == 409
        drained = stream.shows(
            lambda document: document["backends"]["app/a1"].get("drained") and document["backends"]["app/a1"]
        )
        assert drained["reason"].startswith("Drained by an operator")
        control = stream.document["instance"]
        os.kill(control["control_pid"], signal.SIGKILL)
        assert "eof" in {stream.next() for _ in range(2)}
        until(lambda: instance.get("/version", instance.admin_port)[0] == 200, "control is back")
        assert Stream(instance, **cookie).status == 401  # sessions were in its memory
        back = Stream(instance, Authorization=f"Bearer {CHANGE}")
        back.next()
        now = back.document["instance"]
        assert (now["id"], now["started_at"]) == (control["id"], control["started_at"])
        assert now["control_id"] != control["control_id"] and now["control_restarts"] == 1
        assert back.document["backends"]["app/a1"]["state"] == "draining"
        assert CHANGE not in instance.log and session["key"] not in instance.log
        back.close()
