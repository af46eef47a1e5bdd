"""The example for gunicorn's sync workers before a real gunicorn: slow clients keep nobody waiting there."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import Instance
from server_processes import ServerProcesses
from talking import Talk
from upload_load import slow_uploads, start_workers

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

EXAMPLE = Path(__file__).parents[2] / "deployments" / "examples" / "buffering-gunicorn.yaml"


@pytest.fixture(scope="module")
def address(processes: ServerProcesses) -> Iterator[str]:
    """The example's listener."""
    backend = start_workers(processes)
    processes.wait_for({"gunicorn": backend})
    text = EXAMPLE.read_text()
    for its_own, ours in (('":8080"', "127.0.0.1:0"), ("127.0.0.1:8000", backend), ("workers: auto", "workers: 1")):
        assert its_own in text
        text = text.replace(its_own, ours)
    instance = Instance(processes.folder, f"{text}\nadmin: {{listen: 127.0.0.1:0}}\nshutdown: {{delay: 0s}}\n").ready()
    yield f"127.0.0.1:{instance.port}"
    instance.destroy()


def echoed(address: str, request: bytes) -> dict[str, object]:
    talk = Talk(address)
    talk.send(request)
    head = talk.until(b"\r\n\r\n")
    assert head.split()[1] == b"200"
    answer: dict[str, object] = json.loads(talk.until(b"}"))
    talk.close()
    return answer


def test_chunks_reach_the_application_as_a_body(address: str) -> None:
    body = b"hello, you"
    answer = echoed(
        address,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n5\r\n, you\r\n0\r\nX-Sum: 1\r\n\r\n",
    )
    assert (answer["size"], answer["sha"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_more_slow_uploads_than_workers_leave_room_for_others(address: str) -> None:
    seen = asyncio.run(slow_uploads(address, clients=40, size=30_000, rate=10_000, gets=8, every_s=0.1, limit_s=60))
    assert (seen.asked, len(seen.waits_s)) == (8, 8)
    assert seen.uploaded == seen.uploads == 40


@pytest.mark.long
def test_many_more_slow_uploads_than_workers_leave_room_for_others(address: str) -> None:
    seen = asyncio.run(slow_uploads(address, clients=200, size=100_000, rate=10_000, gets=30, every_s=0.25, limit_s=90))
    assert (seen.asked, len(seen.waits_s)) == (30, 30)
    assert seen.uploaded == seen.uploads == 200
