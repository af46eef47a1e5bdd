"""Discovery through Consul, against an agent that answers as documented and one that misbehaves: S9, S10, S11."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from consul_agent import ConsulAgent
from instances import instance
from pem_files import self_signed
from reports import Reports, shown
from scripted_server import HANG, ScriptedServer, reply

from balance.discovery.answer import Answer
from balance.discovery.settings import ConsulDiscovery
from balance.process.control.discovery.consul_source import ConsulPace, ConsulSource

FAST = ConsulPace(wait_s=20.0, answer_s=5.0, between_s=0.01, first_pause_s=0.01)
A, B = instance("10.0.0.1", node="a"), instance("10.0.0.2", node="b")


def run(talk: Callable[[ConsulAgent, Reports], Awaitable[None]], pace: ConsulPace = FAST, **settings: Any) -> ConsulAgent:
    """A source and an agent that knows A as `web`."""

    async def both() -> ConsulAgent:
        async with ConsulAgent() as agent:
            agent.put("web", A)
            source = ConsulSource(ConsulDiscovery("web", agent.url, **settings), "p", pace)
            async with Reports(source) as reports:
                await talk(agent, reports)
        assert isinstance(agent, ConsulAgent)
        return agent

    return asyncio.run(both())


def asked(request: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request).query)


def test_changes_come_as_they_happen_and_queries_wait_for_them() -> None:
    """The index moves with other services too (consul#3890): that is no news, and no loop."""

    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:80")
        for entries in ([A, B], [B], [A, B]):
            agent.put("web", *entries)
            agent.put("other", A)
            await reports.until_addresses(*[f"{each['Service']['Address']}:80" for each in entries])

    agent = run(talk)
    first, second = asked(agent.requests[0]), asked(agent.requests[1])
    assert "index" not in first and second["index"] == ["11"] and second["wait"][0].endswith("ms")
    assert len(agent.requests) <= 6  # one for each change, and not a loop


def test_what_is_asked() -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.tokens = {"t": {"web"}}
        agent.put("web", instance("10.0.0.1", Tags=["a", "b"]), instance("10.0.0.2", Tags=["a"]))
        assert shown(await reports.next()) == ["10.0.0.1:80"]

    agent = run(talk, tags=("a", "b"), datacenter="dc1", token="t")
    assert agent.requests[0].startswith("/v1/health/service/web?")
    query = asked(agent.requests[0])
    assert (query["passing"], query["tag"], query["dc"]) == (["1"], ["a", "b"], ["dc1"])
    assert agent.fields[0]["X-Consul-Token"] == "t" and "token" not in query


def test_an_index_that_goes_back_begins_anew() -> None:
    """S9: a snapshot was restored. A query that went on waiting for the old index would miss what changes up to it."""

    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.put("web", A, step=1000)
        await reports.until_addresses("10.0.0.1:80")
        agent.index = agent.indices["web"] = 5
        agent.services["web"] = [B]
        await reports.until_addresses("10.0.0.2:80")  # when the query that waits for 1010 is over
        agent.put("web", A)
        await reports.until_addresses("10.0.0.1:80")

    agent = run(talk, ConsulPace(wait_s=0.2, answer_s=5.0, between_s=0.01, first_pause_s=0.01))
    indices = [int(asked(each).get("index", ["0"])[0]) for each in agent.requests]
    after = indices[len(indices) - indices[::-1].index(1011) :]
    assert after[0] == 0 and set(after) <= {0, 5, 6}


@pytest.mark.parametrize("fault", ["index 0", "no index"])
def test_an_index_that_is_none_is_no_busy_loop(fault: str) -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.faults.extend([fault] * 1000)
        for _ in range(4):
            assert isinstance(await reports.next(), Answer)

    agent = run(talk, ConsulPace(between_s=0.05))
    assert all("index" not in asked(each) for each in agent.requests)
    assert len(agent.requests) <= 5


def test_without_a_leader_it_goes_on_for_ever() -> None:
    """S10, traefik#515, traefik#2211: at the start, and later, and while a query waits."""

    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.lead(False)
        for _ in range(3):
            await reports.until_failure("it has no cluster leader")
        agent.lead(True)
        await reports.until_addresses("10.0.0.1:80")
        agent.lead(False)
        await reports.until_failure("it has no cluster leader")
        agent.lead(True)
        await reports.until_addresses("10.0.0.1:80")

    run(talk)


def test_an_agent_that_is_gone_and_comes_back() -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:80")
        await agent.stop()
        await reports.until_failure("connection refused")
        agent.put("web", B)
        await agent.start()
        await reports.until_addresses("10.0.0.2:80")

    run(talk)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "it answers 500"),
        ("reset", "without an answer"),
        ("cut", "its answer breaks off"),
        ("cut json", "its answer breaks off: the JSON has no end"),
        ("html", "its answer is not JSON"),
        ("redirect", "it answers 307 and leads to http://127.0.0.1:1/elsewhere, which is not followed"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_and_never_nobody(fault: str, words: str) -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.faults.extend([fault, fault])
        await reports.until_failure(words)
        await reports.until_failure(words)
        await reports.until_addresses("10.0.0.1:80")

    run(talk)


@pytest.mark.parametrize("fault", [pytest.param("endless", marks=pytest.mark.long), "hang"])
def test_an_answer_without_end_is_given_up(fault: str) -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.faults.append(fault)
        await reports.until_failure("no answer within 0.5s" if fault == "hang" else "its answer")
        await reports.until_addresses("10.0.0.1:80")

    run(talk, ConsulPace(answer_s=0.5, between_s=0.01, first_pause_s=0.01) if fault == "hang" else FAST)


def test_a_query_that_never_comes_back_is_given_up_by_our_own_clock() -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:80")
        agent.faults.append("hang")
        await reports.until_failure("no answer within")
        agent.put("web", B)
        await reports.until_addresses("10.0.0.2:80")

    run(talk, ConsulPace(wait_s=0.1, answer_s=0.1, between_s=0.01, first_pause_s=0.01))


def test_nobody_is_looked_at_twice_and_then_waited_for() -> None:
    """consul#4103: while the leader changes, an answer may be empty; prometheus#8766: one that stays counts."""

    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        await reports.until_addresses("10.0.0.1:80")
        agent.faults.append("empty")
        agent.put("web", A, step=2)  # the query that waits is answered as it is; the next one is empty
        await reports.until_addresses()
        await reports.until_addresses("10.0.0.1:80")
        agent.put("web")
        await reports.until_addresses()
        await reports.until_addresses()
        count = len(agent.requests)
        await asyncio.sleep(0.2)
        assert len(agent.requests) <= count + 1  # it is waited for, not polled
        agent.put("web", B)
        await reports.until_addresses("10.0.0.2:80")

    run(talk)


def test_tokens_that_are_refused_are_said() -> None:
    """403 for a token that is none; and 200 with an empty list, which is not nobody, for one that may not read."""

    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.tokens = {"good": {"web"}}
        await reports.until_failure("it refuses the token (ACL not found); it needs service:read and node:read")
        agent.tokens = {"secret": set()}
        await reports.until_failure("the token may not read this service or its nodes")
        agent.tokens = {"secret": {"web"}}
        await reports.until_addresses("10.0.0.1:80")
        assert "secret" not in repr(reports.all) + reports.source.where

    run(talk, token="secret")


def test_a_token_that_was_renewed_in_its_file_is_read_anew_when_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")

    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        agent.tokens = {"first": {"web"}}
        await reports.until_addresses("10.0.0.1:80")
        agent.tokens = {"second": {"web"}}
        file.write_text("second\n")
        agent.put("web", B)
        await reports.until_addresses("10.0.0.2:80")
        assert all(isinstance(each, Answer) for each in reports.all[1:])

    agent = run(talk, token_file=str(file))
    assert agent.fields[-1]["X-Consul-Token"] == "second"


def test_files_that_can_not_be_read_are_said(tmp_path: Path) -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        await reports.until_failure(f"the token's file '{tmp_path}/none' can't be read: No such file or directory")

    run(talk, token_file=str(tmp_path / "none"))


def test_another_datacenter() -> None:
    async def talk(agent: ConsulAgent, reports: Reports) -> None:
        await reports.until_failure("it knows no way to that datacenter")

    run(talk, datacenter="nowhere")


def test_over_tls() -> None:
    cert, key = self_signed("localhost", "IP:127.0.0.1")
    other, _ = self_signed("elsewhere")

    async def talk(ca: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        async with ConsulAgent() as agent:
            await agent.stop()
            await agent.start(context)
            agent.put("web", A)
            settings = ConsulDiscovery("web", agent.url.replace("http:", "https:"), ca_file=str(ca))
            async with Reports(ConsulSource(settings, "p", FAST)) as reports:
                if ca == cert:
                    await reports.until_addresses("10.0.0.1:80")
                else:
                    await reports.until_failure("its certificate is not accepted")

    asyncio.run(talk(cert))
    asyncio.run(talk(other))


def test_a_head_without_end_and_a_body_byte_by_byte() -> None:
    """From a server that speaks no good HTTP: bounded, said, and asked again."""
    body = b'[{"Node": {"Node": "a"}, "Service": {"ID": "web", "Address": "10.0.0.1", "Port": 80}}]'
    drip = [bytes([byte]) for byte in reply("200 OK", body, "X-Consul-Index: 9")]
    chunks = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body],
        b"0\r\n\r\n",
    ]

    async def talk() -> None:
        async with ScriptedServer([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, HANG], drip, chunks, [HANG]) as server:
            source = ConsulSource(ConsulDiscovery("web", server.url), "p", FAST)
            async with Reports(source) as reports:
                await reports.until_failure("its answer is not HTTP that can be read")
                await reports.until_addresses("10.0.0.1:80")
                await reports.until_addresses("10.0.0.1:80")

    asyncio.run(talk())
