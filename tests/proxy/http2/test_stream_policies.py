"""What is decided of a request is decided of each stream: route, backend, session, limits, trace and tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from http2_client import Http2Client, Reply, connect
from otlp_receiver import HttpReceiver, attributes
from rawclient import Message, get, ok
from routed import http, prefix, to
from scripts import says_and_resets
from stage import Stage, serve, until

from balance.config.model import HashKey, HttpConfig, RateLimit, Retry, SessionAffinity, TracingConfig
from balance.config.route_model import RouteMatch
from balance.config.schema.addresses import TRUSTED_PROXY
from balance.model import Why

H2C = HttpConfig(h2c=True)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def named(name: str) -> Callable[[Message], bytes]:
    return lambda request: ok(name.encode())


async def asked(client: Http2Client, path: str = "/", *fields: tuple[bytes, bytes], authority: str = "a.example") -> Reply:
    return await client.reply(await client.request(path, *fields, authority=authority))


async def test_each_stream_has_its_route(stage: Stage) -> None:
    stage.backend(serve(named("pool")))
    other = stage.backend(serve(named("other")))
    routes = http(to("of-a-host", "other", match=RouteMatch(host="b.example")), to("of-a-path", match=prefix("/p")), h2c=True)
    await stage.open(http=routes, pools={"other": [other]})
    client = await connect(stage)
    assert (await asked(client, "/p/1")).body == b"pool"
    assert (await asked(client, "/p/1", authority="b.example")).body == b"other"
    assert (await asked(client, "/p/1", authority="B.example:8080")).body == b"other"
    assert (await asked(client, "/x")).status == 404
    assert [stage.hits(route) for route in ("of-a-host", "of-a-path")] == [2, 1]
    assert stage.whys == {Why.OK: 3, Why.NO_ROUTE: 1}


async def test_a_cookie_in_crumbs_chooses_the_backend_that_it_chooses_over_http1(stage: Stage) -> None:
    for number in range(4):
        stage.backend(serve(named(f"{number}")))
    await stage.open(http=H2C, algorithm="consistent-hash", hash_key=HashKey("cookie", "user"))
    client, old = await connect(stage), await stage.client()
    chosen = set()
    for number in range(20):
        cookie = f"user=u{number}"
        crumbs = [(b"cookie", each) for each in (b"a=1", cookie.encode(), b"b=2")]
        reply = await asked(client, "/", *crumbs)
        await old.send(get("/", f"Cookie: a=1; {cookie}; b=2"))
        assert (await old.reply()).body == reply.body
        chosen.add(reply.body)
    assert len(chosen) > 1


async def test_a_session_cookie_in_crumbs_leads_to_its_backend(stage: Stage) -> None:
    for number in range(3):
        stage.backend(serve(named(f"{number}")))
    await stage.open(http=H2C, affinity=SessionAffinity(enabled=True))
    client = await connect(stage)
    first = await asked(client)
    (line,) = [value for name, value in first.fields if name == b"set-cookie"]
    for _ in range(6):
        again = await asked(client, "/", (b"cookie", b"a=1"), (b"cookie", line.partition(b";")[0]), (b"cookie", b"b=2"))
        assert again.body == first.body
        assert not [name for name, _ in again.fields if name == b"set-cookie"]


async def test_streams_of_one_connection_are_counted_one_by_one(stage: Stage) -> None:
    stage.backend(serve(ok()))
    few = RateLimit(enabled=True, requests_per_second=0.01, burst=2)
    await stage.open(http=http(to("few", rate_limit=few), h2c=True))
    client = await connect(stage)
    replies = [await asked(client) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    assert [name for name, _ in replies[2].fields if name == b"retry-after"]
    assert stage.whys == {Why.OK: 2, Why.RATE_LIMITED: 2}


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


async def test_each_stream_is_a_span_of_its_own_trace(stage: Stage, receiver: HttpReceiver) -> None:
    requests: list[Message] = []

    def answer(request: Message) -> bytes:
        requests.append(request)
        return ok()

    stage.backend(serve(answer))
    trusted = (TRUSTED_PROXY.read("127.0.0.0/8"),)
    await stage.open(http=H2C, tracing=TracingConfig(enabled=True, endpoint=receiver.endpoint, trust=trusted))
    client = await connect(stage)
    for number in range(2):
        parent = b"00-%b-%b-01" % (b"%d" % number + TRACE[1:].encode(), SPAN.encode())
        assert (await asked(client, f"/{number}", (b"traceparent", parent))).status == 200
    assert stage.worker.tracer is not None
    await until(lambda: not stage.active)
    await stage.worker.tracer.exporter.close(5.0)
    spans = sorted(receiver.servers, key=lambda span: str(attributes(span)["url.path"]))
    assert [(attributes(span)["url.path"], attributes(span)["network.protocol.version"]) for span in spans] == [
        ("/0", "2"),
        ("/1", "2"),
    ]
    assert [(span.trace_id.hex(), span.parent_span_id.hex()) for span in spans] == [
        (f"{number}{TRACE[1:]}", SPAN) for number in range(2)
    ]
    tries = {span.parent_span_id: span for span in receiver.tries}
    assert [request.get("traceparent") for request in requests] == [
        f"00-{span.trace_id.hex()}-{tries[span.span_id].span_id.hex()}-01" for span in spans
    ]


async def test_a_try_that_failed_is_made_again_with_its_body(stage: Stage) -> None:
    seen: list[tuple[str, bytes]] = []

    def answer(request: Message) -> bytes:
        seen.append((request.line, request.body))
        return ok(b"well")

    stage.backend(says_and_resets(b""))
    stage.backend(serve(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown"))
    stage.backend(serve(answer))
    again = Retry(max_attempts=3, on=("connect", "reset", 503), backoff_base_s=0.0, backoff_max_s=0.0)
    await stage.open(stage.refusing(), http=H2C, retry=again)
    client = await connect(stage)
    for number in range(8):
        stream = await client.request(f"/{number}", method="PUT", body=b"body")
        reply = await client.reply(stream)
        assert (reply.status, reply.body) == (200, b"well")
    assert seen == [(f"PUT /{number} HTTP/1.1", b"body") for number in range(8)]
    assert stage.whys == {Why.OK: 8}
