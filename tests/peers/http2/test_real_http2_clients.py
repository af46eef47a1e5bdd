"""Clients of HTTP/2 that others wrote, before Balance: each finds what there is, by ALPN and by prior knowledge."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator

import pytest
from h2_site import FOUND, PATIENCE_S, UPLOAD, Front, curl, curl_client, go_client, node_client, run, sha
from server_processes import ServerProcesses, program, start_uvicorn

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def front(processes: ServerProcesses) -> Iterator[Front]:
    address = start_uvicorn(processes)
    processes.wait_for({"uvicorn": address})
    made = Front(processes.folder, {"uvicorn": address})
    yield made
    made.close()


def test_a_client_without_alpn_and_one_with_http1_alone_speak_http1(front: Front) -> None:
    host, _, port = front.address("secure").rpartition(":")
    for offered, expected in (([], None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "h2"), (["h2"], "h2")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if offered:
            context.set_alpn_protocols(offered)
        with socket.create_connection((host, int(port)), 20) as sock, context.wrap_socket(sock) as secured:
            chosen = secured.selected_alpn_protocol()
            assert chosen in (expected, "http/1.1" if not offered else expected)
            if chosen != "h2":
                secured.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert secured.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("how", ["alpn", "prior knowledge"])
def test_curl(front: Front, how: str) -> None:
    url, words = (front.secure, ["--http2"]) if how == "alpn" else (front.plain, ["--http2-prior-knowledge"])
    assert curl_client(url, *words) == FOUND
    sent = curl(*words, "--header", "Expect: 100-continue", "--data-binary", "@-", f"{url}/echo", sent=UPLOAD)
    assert json.loads(sent)["sha"] == sha(UPLOAD)
    refused = curl(*words, "--data-binary", "@-", "--write-out", "%{http_code}", f"{url}/refuse", sent=UPLOAD * 4)
    assert refused == b"too large\n413"  # and nobody waits for the rest of the upload (curl/curl#986)
    if how == "alpn":
        connects = curl(*words, *[f"{url}/hello"] * 5, "--write-out", "%{num_connects} ")
        assert connects.decode().split().count("0") == 4


@pytest.mark.parametrize("how", ["alpn", "prior knowledge"])
def test_node(front: Front, how: str) -> None:
    assert node_client(front.secure if how == "alpn" else front.plain) == FOUND


def test_go(front: Front, processes: ServerProcesses) -> None:
    assert go_client(processes.folder, front.secure) == FOUND


@pytest.mark.parametrize("how", ["alpn", "prior knowledge"])
def test_nghttp_with_many_streams_and_small_windows(front: Front, how: str) -> None:
    url = front.secure if how == "alpn" else front.plain
    said = run(program("nghttp"), "--verbose", "--null-out", "-m", "60", f"{url}/hello", f"{url}/pieces").decode()
    assert len(re.findall(r":status: 200", said)) == 120
    windows = ["--window-bits=10", "--connection-window-bits=12", "--max-concurrent-streams=10"]
    body = run(program("nghttp"), *windows, "-m", "4", f"{url}/pieces")
    assert len(body) == 4 * 50_000
    said = run(program("nghttp"), "--verbose", "--null-out", "--header-table-size=0", "--padding=100", f"{url}/hello").decode()
    assert ":status: 200" in said
    upload = run(program("nghttp"), "--data=-", "--trailer=x-sum: 1", "--no-content-length", f"{url}/echo", sent=UPLOAD)
    assert json.loads(upload)["sha"] == sha(UPLOAD)


@pytest.mark.parametrize("how", ["alpn", "prior knowledge"])
def test_h2load(front: Front, how: str) -> None:
    url = front.secure if how == "alpn" else front.plain
    said = run(program("h2load"), "-n", "2000", "-c", "8", "-m", "20", f"{url}/hello").decode()
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert "status codes: 2000 2xx" in said


ASSETS = 150


def test_a_browser_loads_a_page_of_150_assets(front: Front) -> None:
    """Over one connection; and a WebSocket beside them, by extended CONNECT where that is offered."""
    connections = front.instance.metric("balance_connections_total")
    playwright_api = pytest.importorskip("playwright.sync_api")
    path = program("chromium")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--ignore-certificate-errors"]
        )
        page = browser.new_page(ignore_https_errors=True)
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(f"{front.secure}/hello")
        found = page.evaluate(
            """async (assets) => {
              const whole = (path) => new Promise((resolve, reject) => {
                const script = document.createElement("script");
                script.onload = script.onerror = () => resolve(path);
                script.src = path;
                document.head.append(script);
              });
              await Promise.all(Array.from({ length: assets }, (_, number) => whole(`/hello?${number}`)));
              const entries = performance.getEntriesByType("resource");
              const socket = new WebSocket(location.origin.replace("https", "wss") + "/socket");
              const said = await new Promise((resolve, reject) => {
                socket.onopen = () => socket.send("hello");
                socket.onmessage = (event) => resolve(event.data);
                socket.onerror = () => reject(new Error("WebSocket"));
              });
              socket.close();
              return {
                loaded: entries.filter((entry) => entry.responseStatus === 200).length,
                protocols: [...new Set(entries.map((entry) => entry.nextHopProtocol))],
                said,
              };
            }""",
            ASSETS,
        )
        browser.close()
    assert found == {"loaded": ASSETS, "protocols": ["h2"], "said": "hello"}
    assert front.instance.metric("balance_connections_total") == connections + 1  # that of the WebSocket, too
    assert "Traceback" not in front.instance.log
