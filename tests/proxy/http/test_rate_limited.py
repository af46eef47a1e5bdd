"""Rate limits on the wire: what a client gets who asks too often, and that its connection goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rawclient import get, ok, post
from routed import http, prefix, to
from stage import Stage, serve, until

from balance.config.model import AccessLog, RateLimit
from balance.model import Why

ONE = RateLimit(enabled=True, requests_per_second=0.5, burst=1)
FIELDS = (b"ratelimit", b"ratelimit-policy", b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")


async def test_who_asks_too_often_is_refused_and_its_connection_goes_on(stage: Stage) -> None:
    backend = stage.backend(serve(ok(b"hello")))
    await stage.open(http=http(to("free", match=prefix("/free")), to("limited", rate_limit=ONE)))
    wire = await stage.client()
    await wire.send(get("/") + get("/") + post(b"x" * 1000) + get("/free"))
    replies = [await wire.reply() for _ in range(4)]
    heads = [reply.raw.lower() for reply in replies]
    assert [reply.line.split()[1] for reply in replies] == ["200", "429", "429", "200"]
    assert all(head.count(b"\r\n" + name + b":") == 1 for head in heads[:3] for name in FIELDS)
    assert [b"retry-after: 2\r\n" in head for head in heads] == [False, True, True, False]
    assert json.loads(replies[1].body)["why"] == "rate_limited"
    assert b"ratelimit" not in heads[3]
    assert len(backend.wires) == 1
    assert stage.whys[Why.RATE_LIMITED] == 2


async def test_what_is_left_of_a_refused_request_does_not_become_another_one(stage: Stage) -> None:
    stage.backend(serve(ok(b"hello")))
    await stage.open(http=http(to("limited", rate_limit=ONE)))
    wire = await stage.client()
    await wire.send(get("/") + b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert [(await wire.reply()).line.split()[1] for _ in range(2)] == ["200", "429"]
    inner = get("/smuggled")
    await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner))
    assert stage.whys == {Why.OK: 1, Why.RATE_LIMITED: 1}


@pytest.mark.parametrize("report_only", [False, True])
async def test_the_access_log_says_what_was_refused_and_what_was_only_reported(
    stage: Stage, tmp_path: Path, report_only: bool
) -> None:
    stage.backend(serve(ok(b"hello")))
    config = replace(ONE, report_only=report_only)
    file = tmp_path / "access.log"
    await stage.open(http=http(to("limited", rate_limit=config)), access=AccessLog(True, "json", str(file)))
    wire = await stage.client()
    await wire.send(get("/") + get("/"))
    statuses = [(await wire.reply()).line.split()[1] for _ in range(2)]
    assert statuses == (["200", "200"] if report_only else ["200", "429"])
    await until(lambda: file.read_text().count("\n") == 2, "two lines")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    second = ("ok" if report_only else "rate_limited", "rate_limit")
    assert [(line["why"], line.get("rule") or "") for line in lines] == [("ok", ""), second]
