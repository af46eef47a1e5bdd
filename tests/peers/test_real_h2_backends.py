"""Real servers that speak HTTP/2, behind Balance: a client over HTTP/1 sees what it sees without."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Balance, Before
from questions import questions
from server_processes import ServerProcesses, free_port, program, start_hypercorn
from talking import Told, ask, connect

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

BIG = os.urandom(20_000_000)


def start_nghttpd(processes: ServerProcesses) -> str:
    """It sends a body back, and a trailer behind each reply."""
    Path(processes.folder, "big").write_bytes(BIG)
    port = free_port()
    command = ["--no-tls", "--address=127.0.0.1", "--echo-upload", "--trailer=x-trailer: yes", "--max-concurrent-streams=3"]
    processes.start("nghttpd", [program("nghttpd"), *command, f"--htdocs={processes.folder}", str(port)])
    return f"127.0.0.1:{port}"


class Servers:
    """Each server's own address, and Balance's before it."""

    def __init__(self, own: dict[str, str], balance: Balance) -> None:
        self.own = own
        self.balance = balance
        self.before = balance.addresses


@pytest.fixture(scope="module")
def servers(processes: ServerProcesses, before: Before) -> Iterator[Servers]:
    own = {"hypercorn": start_hypercorn(processes), "nghttpd": start_nghttpd(processes)}
    processes.wait_for(own)
    yield Servers(own, before(own, backend_protocol="h2c"))


def without_name(told: Told) -> Told:
    """Hypercorn calls itself hypercorn-h2 there."""
    return replace(told, fields=tuple(each for each in told.fields if each[0] != "server"))


def test_a_client_is_told_the_same(servers: Servers) -> None:
    differences = {}
    for what, asked in questions("hypercorn").items():
        told = [without_name(ask(connect(address["hypercorn"]), asked)[0]) for address in (servers.own, servers.before)]
        if told[0] != told[1]:
            differences[what] = told
    assert not differences


def test_20_mb_pass_both_ways(servers: Servers) -> None:
    client = connect(servers.before["nghttpd"])
    client.request("GET", "/big")
    assert client.getresponse().read() == BIG
    client.request("POST", "/echo", BIG)
    assert client.getresponse().read() == BIG
    client.request("POST", "/echo", iter([BIG[:1000], BIG[1000:70_000], BIG]), encode_chunked=True)
    assert client.getresponse().read() == BIG[:70_000] + BIG


def test_many_at_once_find_room_where_few_streams_are_allowed(servers: Servers) -> None:
    failed: list[object] = []

    def client() -> None:
        connection = connect(servers.before["nghttpd"])
        for number in range(20):
            try:
                connection.request(
                    "POST" if number & 1 else "GET", "/big" if number == 7 else "/none", b"" if number & 1 else None
                )
                reply = connection.getresponse()
                data = reply.read()
                if reply.status not in (200, 404) or (number == 7 and data not in (BIG, b"")):
                    failed.append((number, reply.status, len(data)))
            except (OSError, http.client.HTTPException) as error:
                failed.append((number, error))

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
