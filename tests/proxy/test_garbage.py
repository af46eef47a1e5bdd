"""What has ended leaves nothing for the garbage collector, whose runs would hold a worker's loop: all is freed at once.

Each kind of request and of connection is made a few times with the collector off. No object of the proxy, and no transport or
handle of its loop, may be in a cycle of references afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pem_files import self_signed
from rawclient import Ended, Wire, chunked, get, ok, post
from routed import http, prefix, to
from scripts import CHUNKED, says, says_and_resets
from stage import Script, Stage, serve, until
from tls_client import with_client
from tls_server import answering, server_context, tls_server

import balance
from balance.config.model import AccessLog, HttpConfig, QueueConfig, Retry, SessionAffinity, Timeouts, TracingConfig
from balance.config.route_model import Compression, Mirror, Redirect, TrafficPolicy
from balance.model import Mode
from balance.tls.settings import BackendTls, ServerTls

TIMES = 3
PACKAGE = str(Path(balance.__file__).parent)
TLS = ServerTls(True, (self_signed("a.example").certificate,), alpn_protocols=("http/1.1",))
BRIEF_TLS = replace(TLS, handshake_timeout_s=0.05)
BRIEF = Timeouts(read_s=0.1)
UPGRADE = get("/ws", "Connection: Upgrade", "Upgrade: websocket")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

Talk = Callable[[Stage], Awaitable[object]]


# --- what the clients and backends do ---------------------------------------------------------------------------


async def ask(stage: Stage, *requests: bytes) -> None:
    """One after the other on one connection, which the client then closes."""
    client = await stage.client()
    for request in requests:
        await client.send(request)
        await client.reply("HEAD" if request.startswith(b"HEAD") else "GET")
    client.close()


def asks(*requests: bytes) -> Talk:
    return lambda stage: ask(stage, *requests)


async def ask_until_closed(stage: Stage) -> None:
    client = await stage.client()
    await client.send(get("/", "Connection: close"))
    await client.rest()
    client.close()


async def pipeline(stage: Stage) -> None:
    client = await stage.client()
    await client.send(get() * 3)
    for _ in range(3):
        await client.reply()
    client.close()


async def send_nonsense(stage: Stage) -> None:
    client = await stage.client()
    await client.send(b"GET / HTTP/9\r\n\r\n")
    await client.has_ended()
    client.close()


async def say_nothing(stage: Stage) -> None:
    client = await stage.client()
    await client.has_ended()
    client.close()


async def leave_at_once(stage: Stage) -> None:
    (await stage.client()).reset()


async def leave_in_a_request(stage: Stage) -> None:
    """While the backend has it and says nothing."""
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.active)
    client.reset()


async def leave_in_a_reply(stage: Stage) -> None:
    client = await stage.client()
    await client.send(get())
    await client.exactly(100_000)
    client.reset()


async def leave_in_an_upload(stage: Stage) -> None:
    client = await stage.client()
    await client.send(post(b"x" * 100_000)[:50_000])
    await client.exactly(len(b"HTTP/1.1 100 Continue\r\n\r\n"))
    client.reset()


async def switch(stage: Stage) -> None:
    client = await stage.client()
    await client.send(UPGRADE)
    await client.head()
    await client.send(b"hello")
    assert await client.exactly(5) == b"hello"
    client.close()


async def echo_once(stage: Stage) -> None:
    client = await stage.client()
    await client.send(b"hello")
    assert await client.exactly(5) == b"hello"
    client.half_close()
    await client.has_ended()
    client.close()


async def echo_and_reset(stage: Stage) -> None:
    client = await stage.client()
    await client.send(b"hello")
    assert await client.exactly(5) == b"hello"
    client.reset()


async def end_without_a_backend(stage: Stage) -> None:
    client = await stage.client()
    await client.has_ended()
    client.close()


async def ask_by_tls(stage: Stage) -> None:
    def action(client: ssl.SSLSocket) -> None:
        for _ in range(2):
            client.sendall(get())
            received = b""
            while not received.endswith(b"ok"):
                received += client.recv(65536)

    await with_client(stage, action)


async def ask_by_tls_until_closed(stage: Stage) -> None:
    def action(client: ssl.SSLSocket) -> None:
        client.sendall(get("/", "Connection: close"))
        while client.recv(65536):
            pass

    await with_client(stage, action)


async def echo_by_tls(stage: Stage) -> None:
    def action(client: ssl.SSLSocket) -> None:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"

    await with_client(stage, action)


async def ask_together(stage: Stage) -> None:
    await asyncio.gather(*(ask(stage, get()) for _ in range(3)))


async def leave_in_a_handshake(stage: Stage) -> None:
    client = await stage.client()
    await client.send(b"\x16\x03\x01\x00\xff")
    client.reset()


async def speak_plainly_to_tls(stage: Stage) -> None:
    client = await stage.client()
    await client.send(get())
    await client.has_ended()
    client.close()


async def echo(wire: Wire) -> None:
    while data := await wire.some():
        await wire.send(data)


async def silent(wire: Wire) -> None:
    await wire.rest()


async def endless(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    while True:
        await wire.send(b"x" * 65536)


async def continuing(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await wire.rest()


async def upgrading(wire: Wire) -> None:
    await wire.request()
    await wire.send(SWITCHING)
    await echo(wire)


async def reset_the_second(wire: Wire) -> None:
    """Answers one request, and resets the next one."""
    await wire.request()
    await wire.send(ok())
    await wire.request()
    wire.reset()


async def accept_no_connection(wire: Wire) -> None:
    wire.reset()


# --- what is promised ---------------------------------------------------------------------------------------------


@dataclass
class Kind:
    """A kind of request or connection: what the clients do, and the backends, in this order."""

    talk: Talk
    backends: tuple[Script, ...] = (serve(ok()),)
    settings: dict[str, Any] = field(default_factory=dict)
    refusing: int = 0  # backends that refuse connections
    failures: bool = False  # the proxy logs something


RETRYING = Retry()
KINDS: dict[str, Kind] = {
    "keep-alive": Kind(asks(get(), get(), get())),
    "with an access log": Kind(asks(get(), get()), settings={"access": AccessLog(enabled=True, output="/dev/null")}),
    "HEAD": Kind(
        asks(b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n"), (serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),)
    ),
    "pipelined": Kind(pipeline),
    "close": Kind(ask_until_closed),
    "closed by the backend": Kind(asks(get()), (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),)),
    "until the backend closes": Kind(ask_until_closed, (says(b"HTTP/1.1 200 OK\r\n\r\nok"),)),
    "chunked": Kind(asks(get(), get()), (serve(CHUNKED + chunked(b"x" * 5000, b"ok")),)),
    "large": Kind(asks(get()), (serve(ok(b"x" * 3_000_000)),)),
    "routed": Kind(asks(get(), get("/b")), settings={"http": http(to("b", match=prefix("/b")), to("r"))}),
    "redirected": Kind(asks(get(), get()), settings={"http": http(to("r", "", redirect=Redirect(host="b.example")))}),
    "compressed": Kind(
        asks(get("/", "Accept-Encoding: gzip")),
        (serve(ok(b"x" * 50_000, "Content-Type: text/html")),),
        {"http": HttpConfig(compression=Compression(enabled=True))},
    ),
    "traced": Kind(asks(get(), get()), settings={"tracing": TracingConfig(True, endpoint="http://127.0.0.1:9")}),
    "with a session": Kind(asks(get(), get()), settings={"affinity": SessionAffinity(enabled=True)}),
    "POST": Kind(asks(post(b"x" * 300_000), post(b"x"))),
    "chunked POST": Kind(
        asks(b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 5000, b"y"))
    ),
    "WebSocket": Kind(switch, (upgrading,)),
    "TLS": Kind(ask_by_tls, settings={"tls": TLS}),
    "TLS, close": Kind(ask_by_tls_until_closed, settings={"tls": TLS}),
    "TLS, a handshake that is broken off": Kind(leave_in_a_handshake, settings={"tls": BRIEF_TLS}, failures=True),
    "TLS, plain text": Kind(speak_plainly_to_tls, settings={"tls": TLS}, failures=True),
    "TCP": Kind(echo_once, (echo,), {"mode": Mode.TCP}),
    "TCP, reset by the client": Kind(echo_and_reset, (echo,), {"mode": Mode.TCP}),
    "TCP, reset by the backend": Kind(end_without_a_backend, (accept_no_connection,), {"mode": Mode.TCP}),
    "TCP, the first one refuses": Kind(echo_once, (echo,), {"mode": Mode.TCP}, refusing=1),
    "TCP, nobody there": Kind(end_without_a_backend, (), {"mode": Mode.TCP}, refusing=2),
    "TCP over TLS": Kind(echo_by_tls, (echo,), {"mode": Mode.TCP, "tls": TLS}),
    "queued": Kind(ask_together, settings={"limits": [1], "queue": QueueConfig(timeout_s=5.0)}),
    "queued in vain": Kind(ask_together, (silent,), {"limits": [1], "queue": QueueConfig(timeout_s=0.05), "timeouts": BRIEF}),
    "bad request": Kind(send_nonsense),
    "no request": Kind(say_nothing, settings={"timeouts": Timeouts(client_header_s=0.05)}),
    "left at once": Kind(leave_at_once),
    "left in a request": Kind(leave_in_a_request, (silent,)),
    "left in a reply": Kind(leave_in_a_reply, (endless,)),
    "left in an upload": Kind(leave_in_an_upload, (continuing,)),
    "backend's reply is broken": Kind(asks(get()), (says(b"nonsense\r\n\r\n"),), failures=True),
    "backend resets": Kind(asks(get()), (says_and_resets(),)),
    "backend resets in its reply": Kind(
        ask_until_closed, (says_and_resets(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),)
    ),
    "backend answers too late": Kind(asks(get()), (silent,), {"timeouts": BRIEF}),
    "backends refuse": Kind(asks(get(), get()), (), refusing=2),
    "retried at another": Kind(asks(get(), get()), settings={"retry": RETRYING}, refusing=1),
    "sent again": Kind(asks(get(), get(), get()), (reset_the_second,), {"retry": RETRYING}),
}


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """Of the proxy's objects, by their types, those that only the collector could free at the end of the block."""
    found: Counter[str] = Counter()
    gc.freeze()  # what was there before
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        for each in gc.garbage:
            if name := _ours(each):
                found[name] += 1
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()


def _ours(each: object) -> str:
    """The name of an object of the proxy or of its part of the loop; "" for those of the test."""
    kind = type(each)
    if kind.__module__.partition(".")[0] in ("balance", "uvloop", "httptools"):
        return f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(each, ssl.SSLObject | ssl.MemoryBIO):
        return kind.__qualname__
    code = getattr(each, "cr_code", None) or getattr(each, "f_code", None) or getattr(each, "__code__", None)
    return code.co_qualname if code is not None and code.co_filename.startswith(PACKAGE) else ""


async def several(stage: Stage, talk: Talk) -> None:
    for _ in range(TIMES):
        with contextlib.suppress(Ended, ConnectionError):
            await talk(stage)
        await stage.settled()
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", KINDS)
async def test_no_cycle_is_left_of(stage: Stage, name: str) -> None:
    kind = KINDS[name]
    for script in kind.backends:
        stage.backend(script)
    await stage.open(*(stage.refusing() for _ in range(kind.refusing)), **kind.settings)
    await several(stage, kind.talk)  # what is made once, for all that follow
    with garbage() as found:
        await several(stage, kind.talk)
    assert not found
    if kind.failures:
        stage.failures.clear()


async def test_no_cycle_is_left_of_a_request_that_is_copied(stage: Stage) -> None:
    stage.backend(serve(ok()))
    shadow = stage.backend(serve(ok()))
    route = to("r", "pool", "shadow", policy=TrafficPolicy(mirror=Mirror("shadow")))
    await stage.open(http=http(route), pools={"shadow": [shadow]})
    talk = asks(get(), post(b"x" * 5000))
    await several(stage, talk)
    with garbage() as found:
        await several(stage, talk)
    assert not found


async def test_no_cycle_is_left_of_a_request_to_a_backend_with_tls(stage: Stage) -> None:
    with tls_server(server_context(self_signed("app.internal")), answering()) as server:
        await stage.open(server.address, tls_to=BackendTls(enabled=True, verify=False))
        talk = asks(get(), get())
        await several(stage, talk)
        with garbage() as found:
            await several(stage, talk)
        assert not found
