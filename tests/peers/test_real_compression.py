"""Compression by a running instance between uvicorn and clients that decode for themselves: httpx, requests and curl."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx
import pytest
import requests
import uvicorn
from conftest import Balance, Before

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

CODINGS = ("gzip", "br", "zstd")
ROWS = json.dumps([{"id": number, "name": f"user {number * 7919 % 1000}"} for number in range(250_000)]).encode()  # 10 MB
PATIENCE_S = 20

Scope = MutableMapping[str, Any]
Send = Callable[[Scope], Awaitable[None]]


class Application:
    """/rows is 10 MB of JSON; /events sends each event when the client has read the one before."""

    def __init__(self) -> None:
        self.has_read = threading.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Send) -> None:
        assert scope["type"] == "http"
        is_events = scope["path"] == "/events"
        content_type = b"text/event-stream" if is_events else b"application/json"
        fields = [(b"content-type", content_type)]
        if not is_events:
            fields.append((b"content-length", str(len(ROWS)).encode()))
            fields.append((b"etag", b'"' + hashlib.md5(ROWS).hexdigest().encode() + b'"'))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        if is_events:
            for number in range(5):
                event = b"data: %d\n\n" % number
                await send({"type": "http.response.body", "body": event, "more_body": True})
                await asyncio.to_thread(self.has_read.acquire, timeout=PATIENCE_S)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": ROWS})


@pytest.fixture(scope="module")
def application() -> Application:
    return Application()


@pytest.fixture(scope="module")
def url(application: Application, before: Before) -> Iterator[str]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    compression = {"enabled": True, "types": ["application/json", "text/event-stream"]}
    balance: Balance = before({"uvicorn": f"127.0.0.1:{sock.getsockname()[1]}"}, http={"compression": compression})
    yield f"http://{balance.addresses['uvicorn']}"
    server.should_exit = True
    thread.join(PATIENCE_S)


@pytest.mark.parametrize("coding", CODINGS)
def test_each_event_arrives_before_the_next_is_sent(url: str, application: Application, coding: str) -> None:
    headers = {"Accept-Encoding": coding}
    with httpx.stream("GET", f"{url}/events", headers=headers, timeout=PATIENCE_S) as reply:
        assert reply.headers["content-encoding"] == coding
        read = []
        for line in reply.iter_lines():
            if line:
                read.append(line)
                application.has_read.release()
    assert read == [f"data: {number}" for number in range(5)]


@pytest.mark.parametrize("coding", CODINGS)
def test_10_mb_of_json(url: str, coding: str) -> None:
    reply = httpx.get(f"{url}/rows", headers={"Accept-Encoding": coding}, timeout=PATIENCE_S)
    assert reply.headers["content-encoding"] == coding
    assert reply.headers["vary"].lower() == "accept-encoding"
    assert reply.headers["etag"].startswith('W/"')
    assert reply.content == ROWS
    assert reply.num_bytes_downloaded < len(ROWS) / 4


def test_requests_and_curl_decode_it(url: str) -> None:
    assert requests.get(f"{url}/rows", timeout=PATIENCE_S).content == ROWS
    if shutil.which("curl") is not None:
        curl = subprocess.run(["curl", "-sf", "--compressed", f"{url}/rows"], capture_output=True, check=True)
        assert curl.stdout == ROWS
