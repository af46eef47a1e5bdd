"""Real HTTP servers behind Balance: a client sees what it sees without."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import Balance, Before
from questions import DYNAMIC, KEEPING, STARTS, questions
from server_processes import ServerProcesses
from talking import Ask, Talk, ask, connect

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


class Servers:
    """Each server's own address, and Balance's before it."""

    def __init__(self, own: dict[str, str], balance: Balance) -> None:
        self.own = own
        self.balance = balance
        self.before = balance.addresses


@pytest.fixture(scope="module")
def servers(processes: ServerProcesses, before: Before) -> Iterator[Servers]:
    own = {name: start(processes) for name, start in STARTS.items()}
    processes.wait_for(own)
    yield Servers(own, before(own))


@pytest.mark.parametrize("name", STARTS)
def test_a_client_is_told_the_same(servers: Servers, name: str) -> None:
    differences = {}
    for what, asked in questions(name).items():
        told = [ask(connect(address[name]), asked)[0] for address in (servers.own, servers.before)]
        if told[0] != told[1]:
            differences[what] = told
    assert not differences


@pytest.mark.parametrize("name", STARTS)
def test_a_client_of_http_1_0_without_a_host_is_served(servers: Servers, name: str) -> None:
    statuses = []
    for addresses in (servers.own, servers.before):
        talk = Talk(addresses[name])
        talk.send(b"GET /hello HTTP/1.0\r\n\r\n")
        statuses.append(talk.until(b"\r\n\r\n").split()[1])
        talk.close()
    assert statuses[0] == statuses[1] != b"400"


@pytest.mark.parametrize("name", STARTS)
def test_connections_are_used_again_where_the_server_keeps_them(servers: Servers, name: str) -> None:
    client = connect(servers.before[name])
    ports = {ask(client, Ask("/hello"))[1] for _ in range(6)}
    assert len(ports) == (1 if name in KEEPING else 6), ports
    assert "" not in ports


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_body_waits_for_the_100_that_was_asked_for(servers: Servers, name: str) -> None:
    for addresses in (servers.own, servers.before):
        talk = Talk(addresses[name])
        talk.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert talk.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        talk.send(b"hello")
        assert talk.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert json.loads(talk.until(b"}"))["size"] == 5
        talk.close()


@pytest.mark.parametrize("name", STARTS)
def test_an_upload_that_is_refused_early_is_told_why(servers: Servers, name: str) -> None:
    statuses = []
    for _ in range(5):
        talk = Talk(servers.before[name])
        talk.send(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
        try:
            for _ in range(10):
                talk.send(b"x" * 30_000)
        except OSError:
            pass  # it has closed; what it said is there all the same
        statuses.append(talk.until(b"\r\n\r\n").split()[1])
        talk.close()
    assert statuses == [b"413"] * 5


@pytest.mark.parametrize("name", DYNAMIC)
def test_events_come_one_by_one(servers: Servers, name: str) -> None:
    talk = Talk(servers.before[name])
    talk.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    talk.until(b"data: 0")
    assert b"data: 2" not in talk.rest  # they are sent with time between
    talk.until(b"data: 2")
    talk.close()


def test_a_tunnel_that_node_agrees_to_carries_both_ways(servers: Servers) -> None:
    talk = Talk(servers.before["node"])
    talk.send(b"GET /any HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    assert talk.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    for word in (b"one\n", b"x" * 300_000 + b"\n"):
        talk.send(word)
        assert talk.until(b"\n") == word
    talk.close()


def test_nothing_of_all_this_is_counted_as_a_failure(servers: Servers) -> None:
    """Last in its file: what every test above has left behind."""

    whys = ("reset_before_response", "reset_mid_response", "bad_response", "reset_on_reuse", "connect_refused", "bad_request")
    failures = {why: servers.balance.ended(why) for why in whys}
    assert servers.balance.ended("ok") > len(STARTS)
    assert not any(failures.values()), failures
