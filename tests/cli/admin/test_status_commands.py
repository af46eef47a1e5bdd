"""Commands that show the state of an instance, as text and JSON."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.cli.admin.status_commands import backend_rows, status_lines
from balance.client import Backend, Status
from balance.client.decoding import decode
from balance.model import Mode
from balance.runtime import counters
from balance.runtime.row import Row

Say = Callable[..., tuple[int, str, str]]


def test_the_status_is_told_at_a_glance(say: Say) -> None:
    status, out, err = say("status")
    assert (status, err) == (0, "")
    assert out.startswith("healthy, ready, serving: version ")
    assert "configuration test.yaml, generation 1\n" in out
    assert "\napp   round-robin  2 of 2  -           0         0         0\n" in out


def test_the_status_tells_how_redis_stands_where_it_is_used(say: Say) -> None:
    document = json.loads(say("status", "--json")[1])

    def lines() -> list[str]:
        known = document | {"pools": [each | {"backends": []} for each in document["pools"]]}
        return list(status_lines(decode(Status, known, "/status")))

    assert not [line for line in lines() if line.startswith("Redis")]
    document["redis"] = {"url": "redis://:***@a:6379/0", "state": "down", "reason": "it takes too long", "on_failure": "deny"}
    assert "Redis redis://:***@a:6379/0 down (it takes too long); on_failure deny" in lines()
    document["redis"] |= {"state": "up", "reason": None}
    assert "Redis redis://:***@a:6379/0 up; on_failure deny" in lines()


def test_sessions_in_tcp_mode_are_counted_and_are_no_requests(say: Say, instance: Any) -> None:
    fake_instance = instance.fake_instance
    config = fake_instance.view.config
    (web,) = config.listeners
    tcp = replace(web, name="db", mode=Mode.TCP, pool="raw")
    fake_instance.view.config = replace(config, listeners=(web, tcp))
    row, other = (Row(row) for row in fake_instance.board.rows)
    http, raw = counters.block(1), counters.block(3)
    row.cells[http + counters.ACTIVE], other.cells[raw + counters.ACTIVE] = 2, 3
    row.cells[counters.EXCHANGES_OPEN], other.cells[counters.EXCHANGES_OPEN] = 2, 3
    row.cells[raw + counters.TCP_SESSIONS], other.cells[raw + counters.TCP_SESSIONS] = 10, 20
    row.cells[counters.BACKENDS + counters.TCP_SESSIONS] = 1  # that found nobody
    for _ in range(7):
        row.count_request(counters.series_key(1, 1, 200))
    _, out, _ = say("status")
    assert "; HTTP requests 2 now, 7 in all; TCP sessions 3 now, 31 in all\n" in out
    assert [line.split()[-3:] for line in out.splitlines()[-2:]] == [["2", "7", "0"], ["3", "0", "30"]]


def test_the_backends_are_a_table(say: Say) -> None:
    status, out, _ = say("backends")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert lines[0][:5] == ["POOL", "NAME", "ADDRESS", "WEIGHT", "STATE"]
    assert lines[2][:5] == ["app", "a2", "127.0.0.1:9002", "2", "unchecked"]


def test_the_table_marks_backups_counts_bad_answers_and_knows_the_last_check() -> None:
    backend: dict[str, Any] = {
        "pool": "app", "name": "a3", "address": "h:1", "weight": 2, "backup": True, "state": "unhealthy", "breaker": None,
        "active": 0, "requests": 9, "copies": 4, "failures": 1, "blamed": 3,
        "why": "status 503, expected 200 (3 times in a row)",
        "last_check": {"ok": False, "reason": "connection refused", "seconds": 0.1},
    }  # fmt: skip
    (row,) = backend_rows([decode(Backend, backend, "")])
    assert backend_rows([decode(Backend, backend | {"region": "eu"}, "")])[0][3] == "2 backup eu"
    assert row == ("app", "a3", "h:1", "2 backup", "unhealthy", None, 0, 9, 4, 3,
                   "status 503, expected 200 (3 times in a row); now: connection refused")  # fmt: skip
    backend["last_check"] = {"ok": False, "reason": "status 503, expected 200", "seconds": 0.1}
    assert backend_rows([decode(Backend, backend, "")])[0][-1] == backend["why"]


def test_programs_get_what_the_instance_said(say: Say) -> None:
    assert json.loads(say("status", "--json")[1])["generation"] == 1
    assert [each["name"] for each in json.loads(say("backends", "--json")[1])["backends"]] == ["a1", "a2", "r1"]


def test_the_generations_are_a_table_with_the_one_that_is_served_marked(say: Say, instance: Any) -> None:
    assert say("weight", "a2", "5")[0] == 0
    status, out, err = say("generations")
    assert (status, err) == (0, "")
    rows = [re.split("  +", line.strip()) for line in out.splitlines()]
    assert rows == [
        ["GENERATION", "SERVED", "CAME", "BY", "FROM", "CHANGED"],
        ["1", "-", "1970-01-01T00:16:41Z", "start", "test.yaml", "-"],
        ["2", "now", "1970-01-01T00:16:42Z", "admin API", "test.yaml", "~1 backend"],
    ]
    shown = json.loads(say("generations", "--json")[1])["generations"]
    assert [(each["generation"], each["current"], each["summary"]) for each in shown] == [
        (1, False, None),
        (2, True, "~1 backend"),
    ]


def test_what_is_remembered_is_told_once(say: Say, instance: Any) -> None:
    instance.do(lambda: instance.fake_instance.view.events.publish("worker", "a worker was replaced", restarts=1))
    status, out, _ = say("events", "--once")
    assert status == 0
    assert out.endswith(" worker: a worker was replaced\n")
    event = json.loads(say("events", "--once", "--json")[1])
    assert (event["kind"], event["restarts"]) == ("worker", 1)
    assert say("events", "--once", "--since", str(event["number"]))[1] == ""
    assert say("events", "--once", "--since", "x")[0] == 2


def test_events_are_told_as_they_come(instance: Any) -> None:
    tell = instance.fake_instance.view.events.publish
    instance.do(lambda: tell("worker", "first"))
    words = [sys.executable, "-m", "balance", "events", "--admin", instance.address]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as follower:
        try:
            assert follower.stdout is not None
            assert follower.stdout.readline().endswith(" worker: first\n")
            instance.do(lambda: tell("worker", "second"))
            assert follower.stdout.readline().endswith(" worker: second\n")
        finally:
            follower.kill()


@pytest.mark.parametrize("instance", [False], indirect=True)
def test_a_refusal_is_an_error(say: Say, instance: Any) -> None:
    for words in (["status"], ["backends"], ["events", "--once"], ["drain", "a1"], ["reload"], ["stop"]):
        status, out, err = say(*words)
        assert (status, out) == (1, "")
        assert "loopback admin address only" in err
