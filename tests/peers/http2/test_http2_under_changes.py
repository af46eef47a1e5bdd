"""Clients of HTTP/2 and gRPC through reloads, restarts of the workers and an upgrade of the instance: no request is lost.

nghttp and h2load are not among them: they ask on one connection, and dial no other one when they are told to go.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from drill import Drill
from h2_cases import END_HEADERS, Fields, data, head
from h2_site import (
    PATIENCE_S,
    Front,
    curl,
    go_client,
    grpc_js,
    node_client,
    start_granian,
    start_grpc,
    start_hypercorn,
    start_nghttpd,
)
from server_processes import ServerProcesses, program, start_uvicorn
from socket_talk import SocketTalk

from balance.http2.frames import window_update

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(200)]

SECONDS = 16  # that the load lasts
BETWEEN_S = 1.5  # changes
AT_ONCE = 10  # streams


class SteadyTalk:
    """Asks on one connection, ten streams at once, until it is told to go; then on another. What it has sent is answered."""

    def __init__(self, port: int) -> None:
        self.answered = self.connections = 0
        self.failed: list[str] = []
        self._port = port

    def __call__(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with SocketTalk(self._port) as talk:
                self.connections += 1
                talk.begin()
                talk.send(window_update(0, 1 << 30))
                self._ask(talk, deadline)
        return {"answered": self.answered, "connections": self.connections, "failed": self.failed}

    def _ask(self, talk: SocketTalk, deadline: float) -> None:
        open_streams: set[int] = set()
        following = 1
        while True:
            while not talk.goaways and time.monotonic() < deadline and len(open_streams) < AT_ONCE:
                talk.send(asked(following))
                open_streams.add(following)
                following += 2
            if not open_streams:
                return
            if not talk.receive():
                self.failed.append(f"no answer for {sorted(open_streams)}: {talk}")
                return
            for stream in open_streams & (talk.ended | set(talk.resets)):
                open_streams.remove(stream)
                if talk.status(stream) == 200 and stream not in talk.resets:
                    self.answered += 1
                else:
                    self.failed.append(f"{stream} of {following - 2}: {talk.status(stream)} {talk.resets.get(stream)} {talk}")
            if talk.goaways:  # what is above the last stream that is served may be asked again elsewhere (RFC 9113 section 6.8)
                open_streams = {stream for stream in open_streams if stream <= talk.goaways[-1][0]}


def asked(stream: int) -> bytes:
    fields: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/hello"), (b":authority", b"a")]
    if stream % 4 == 1:
        return head(stream, fields)
    posted: Fields = [(b":method", b"POST"), fields[1], (b":path", b"/echo"), fields[3]]
    return head(stream, posted, END_HEADERS) + data(stream, b"x" * 100)


def curls(url: str) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    answered = 0
    while time.monotonic() < deadline:
        assert curl("--http2", *[f"{url}/hello"] * 20) == b"hello\n" * 20
        answered += 20
    return {"answered": answered, "failed": []}


def browser(url: str) -> dict[str, Any]:
    """A page of Chromium that asks ten times at once, again and again. What failed is for is_of_chromium()."""
    playwright_api = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--ignore-certificate-errors"]
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=options)
        page = chromium.new_page(ignore_https_errors=True)
        page.set_default_timeout(PATIENCE_S * 1000)
        lost: list[str] = []
        page.on("requestfailed", lambda request: lost.append(f"{request.failure} {request.url}"))  # what fetch() does not say
        page.goto(f"{url}/hello")
        found: dict[str, Any] = page.evaluate(
            """async ([milliseconds, atOnce]) => {
              const deadline = Date.now() + milliseconds;
              const found = { answered: 0, asked: 0, failed: [] };
              const ask = async () => {
                try {
                  const reply = await fetch(`/hello?page-${found.asked++}`, { cache: "no-store" });
                  const said = await reply.text();
                  if (reply.status === 200 && said === "hello\\n") found.answered++;
                  else found.failed.push(`${reply.status} ${said}`);
                } catch (error) {
                  found.failed.push(String(error));
                }
              };
              while (Date.now() < deadline) await Promise.all(Array.from({ length: atOnce }, ask));
              const entries = performance.getEntriesByType("resource");
              return { ...found, protocols: [...new Set(entries.map((entry) => entry.nextHopProtocol))] };
            }""",
            [SECONDS * 1000, AT_ONCE],
        )
        told = [each for each in found["failed"] if each == "TypeError: Failed to fetch"]
        while len(lost) < len(told):
            page.wait_for_event("requestfailed")
        chromium.close()
    return {**found, "failed": lost + [each for each in found["failed"] if each not in told]}


def is_of_chromium(failed: str, requests: str) -> bool:
    """Whether Chromium failed it by itself; `requests` are those that Balance has seen.

    When an interface of the machine comes or goes, it ends what is under way. And what it has chosen a connection for, and not
    begun the stream, it fails when a GOAWAY comes in between, before it has sent anything; others take another connection.
    """
    error, _, url = failed.partition(" ")
    line = f"?{url.partition('?')[2]}\n"
    return error == "net::ERR_NETWORK_CHANGED" or (error == "net::ERR_FAILED" and line not in requests)


def test_no_request_is_lost(processes: ServerProcesses) -> None:
    """Before servers of both protocols."""
    of_http2 = {"nghttpd": start_nghttpd, "hypercorn": start_hypercorn, "granian": start_granian}
    site = {"uvicorn": start_uvicorn(processes), **{name: start(processes) for name, start in of_http2.items()}}
    calls = start_grpc(processes)
    processes.wait_for({**site, "grpc": calls})
    backends = {name: f"h2c {address}" if name in of_http2 else address for name, address in site.items()}
    # Hypercorn says GOAWAY at its 1,001st request, counts it among those that it serves, and does not answer it.
    requests = processes.folder / "requests"
    access_log = {"enabled": True, "format": "template", "template": "{path}", "output": str(requests)}
    keys = {"http": {"h2c": True, "keepalive": {"max_requests": 900}}, "logging": {"access_log": access_log}}
    front = Front(processes.folder, backends, workers=2, calls=calls, **keys)
    seconds = str(SECONDS)
    loads: dict[str, Callable[[], dict[str, Any]]] = {
        "frames": SteadyTalk(int(front.address("plain").rpartition(":")[2])),
        "curl": lambda: curls(front.secure),
        "node": lambda: node_client(front.secure, seconds),
        "go": lambda: go_client(processes.folder, front.secure, seconds),
        "grpc-js": lambda: grpc_js(front.address("calls"), seconds),
        "chromium": lambda: browser(front.secure),
    }
    found: dict[str, Any] = {}

    def run(name: str) -> None:
        try:
            found[name] = loads[name]()
        except (AssertionError, pytest.skip.Exception, pytest.fail.Exception) as error:
            found[name] = {"answered": 0, "failed": [repr(error)]}

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in loads]
    try:
        drill = Drill(front.instance, Unloaded())  # type: ignore[arg-type]
        for thread in threads:
            thread.start()
        for number, change in enumerate((drill.reload, drill.restart, drill.reload, drill.upgrade)):
            time.sleep(BETWEEN_S)
            if change == drill.reload:
                drill.reload({"timeouts": {"connect": f"{number + 20}s"}})
            else:
                change()
        for thread in threads:
            thread.join(SECONDS + 60)
        assert set(found) == set(loads)
        seen = requests.read_text()
        assert "?page-0\n" in seen
        found["chromium"]["failed"] = [each for each in found["chromium"]["failed"] if not is_of_chromium(each, seen)]
        assert {name: each["failed"][:3] for name, each in found.items() if each["failed"]} == {}
        assert min(each["answered"] for each in found.values()) > 20, found
        assert found["frames"]["connections"] > 1, "nobody was told to go"
        assert found["chromium"]["protocols"] == ["h2"]
        for name in site:
            served = front.instance.metric(f'balance_http_request_duration_seconds_count{{backend="{name}",pool="site"}}')
            assert served > 20, name
        assert "Traceback" not in front.instance.log
    finally:
        front.close()


class Unloaded:
    """The drill's own backends: none."""

    addresses: dict[str, str] = {}
