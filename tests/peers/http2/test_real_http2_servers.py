"""Servers of HTTP/2 that others wrote, behind Balance: clients of both protocols find what there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2_site import (
    BIG,
    FOUND,
    SITE,
    Front,
    curl,
    curl_client,
    node_client,
    sha,
    start_go,
    start_granian,
    start_hypercorn,
    start_nghttpd,
    start_node,
    start_secure_node,
)
from server_processes import ServerProcesses

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

STARTS: dict[str, tuple[Callable[[ServerProcesses], str], str]] = {
    "hypercorn": (start_hypercorn, "h2c"),
    "granian": (start_granian, "h2c"),
    "node": (start_node, "h2c"),
    "node over TLS": (start_secure_node, "h2"),
    "go": (start_go, "h2"),
    "go by ALPN": (start_go, "auto"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_server_gives_all_that_it_has(processes: ServerProcesses, name: str) -> None:
    start, protocol = STARTS[name]
    address = start(processes)
    processes.wait_for({name: address.removeprefix("https://")})
    front = Front(processes.folder, {"site": address}, protocol)
    try:
        assert node_client(front.secure) == FOUND
        assert {**curl_client(front.plain, "--http1.1"), "protocol": "HTTP/2.0"} == FOUND
        assert "Traceback" not in front.instance.log
    finally:
        front.close()


@pytest.mark.parametrize("protocol", ["h2c", "h2"])
def test_nghttpd(processes: ServerProcesses, protocol: str) -> None:
    address = start_nghttpd(processes, tls=SITE if protocol == "h2" else None)
    processes.wait_for({"nghttpd": address.removeprefix("https://")})
    front = Front(processes.folder, {"site": address}, protocol)
    try:
        for url, how in ((front.secure, "--http2"), (front.plain, "--http1.1")):
            assert sha(curl(how, f"{url}/big")) == sha(BIG)
            assert curl(how, "--parallel", "--parallel-max", "40", *[f"{url}/hello"] * 40) == b"hello\n" * 40
            assert curl(how, "--output", "/dev/null", "--write-out", "%{http_code}", f"{url}/nothing") == b"404"
            assert curl(how, "--data-binary", "@-", f"{url}/echo", sent=b"x" * 500_000) == b"x" * 500_000
    finally:
        front.close()
