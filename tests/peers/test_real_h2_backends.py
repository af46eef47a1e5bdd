"""Real servers that speak HTTP/2, behind Balance: a client over HTTP/1 sees what it sees without."""

from __future__ import annotations

import http.client
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Balance, Before
from questions import questions
from server_processes import ServerProcesses, free_port, program, start_hypercorn
from talking import Ask, Talk, Told, ask, connect

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

BIG = os.urandom(20_000_000)


def start_nghttpd(processes: ServerProcesses) -> str:
    """It sends a body back, and a trailer behind each reply."""
    Path(processes.folder, "big").write_bytes(BIG)
    Path(processes.folder, "small").write_bytes(b"small")
    port = free_port()
    command = ["--no-tls", "--address=127.0.0.1", "--echo-upload", "--trailer=x-trailer: yes", "--max-concurrent-streams=3"]
    processes.start("nghttpd", [program("nghttpd"), *command, f"--htdocs={processes.folder}", str(port)])
    return f"127.0.0.1:{port}"


def start_leaving_nginx(processes: ServerProcesses) -> str:
    """It ends each connection after 20 requests, by one GOAWAY, whatever is on its way."""
    port = free_port()
    folder = processes.folder
    Path(folder, "h2.conf").write_text(
        f"daemon off; master_process off; pid {folder}/h2.pid; error_log {folder}/h2.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};"
        f"uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 20;\n"
        f'server {{ listen 127.0.0.1:{port} http2; location / {{ return 200 "here"; }} }} }}\n'
    )
    processes.start("h2-nginx", [program("nginx"), "-c", f"{folder}/h2.conf", "-p", str(folder)])
    return f"127.0.0.1:{port}"


class Servers:
    """Each server's own address, and Balance's before it."""

    def __init__(self, own: dict[str, str], balance: Balance) -> None:
        self.own = own
        self.balance = balance
        self.before = balance.addresses


@pytest.fixture(scope="module")
def servers(processes: ServerProcesses, before: Before) -> Iterator[Servers]:
    own = {
        "hypercorn": start_hypercorn(processes),
        "nghttpd": start_nghttpd(processes),
        "nginx": start_leaving_nginx(processes),
    }
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


def talk(servers: Servers, name: str, methods: Sequence[str], path: str) -> list[object]:
    """20 clients, each with these requests on a connection of its own: what failed."""
    failed: list[object] = []

    def client() -> None:
        connection = connect(servers.before[name])
        for number, method in enumerate(methods):
            try:
                connection.request(method, path, b"body" if method == "POST" else None)
                reply = connection.getresponse()
                if reply.status != 200 or not reply.read():
                    failed.append((number, reply.status))
            except (OSError, http.client.HTTPException) as error:
                failed.append((number, error))

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_many_at_once_find_room_where_few_streams_are_allowed(servers: Servers) -> None:
    assert not talk(servers, "nghttpd", ["GET", "POST", "GET", "POST"] * 5, "/small")


def test_no_request_is_lost_with_connections_that_end(servers: Servers) -> None:
    assert not talk(servers, "nginx", ["POST", "GET", "POST"] * 20, "/")
    assert not servers.balance.ended("reset_before_response")


def test_trailers_that_are_announced_pass(servers: Servers) -> None:
    talk_to = Talk(servers.before["nghttpd"])
    talk_to.send(b"GET /small HTTP/1.1\r\nHost: site.example\r\n\r\n")
    assert b"\r\ntrailer: x-trailer\r\n" in talk_to.until(b"\r\n\r\n")
    assert talk_to.until(b"\r\n\r\n").endswith(b"small\r\n0\r\nx-trailer: yes\r\n\r\n")
    talk_to.close()


def test_a_server_that_is_killed_loses_what_it_had_and_no_more(before: Before, processes: ServerProcesses) -> None:
    """The next requests go to the one that takes its place, without one that fails for what was before."""
    port = free_port()
    own = {"killed": f"127.0.0.1:{port}"}
    command = [program("nghttpd"), "--no-tls", "--address=127.0.0.1", f"--htdocs={processes.folder}", str(port)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        processes.wait_for(own)
        client = connect(before(own, backend_protocol="h2c").addresses["killed"])
        assert [ask(client, Ask("/small"))[0].status for _ in range(3)] == [200] * 3
    finally:
        first.kill()
        first.wait()
    processes.start("second", command)
    processes.wait_for(own)
    assert [ask(client, Ask("/small"))[0].status for _ in range(3)] == [200] * 3
