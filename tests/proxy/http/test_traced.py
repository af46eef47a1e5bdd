"""The spans of requests as a receiver gets them, and what backends are told."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from otlp_receiver import HttpReceiver, attributes
from rawclient import Message, Wire, get, ok, post
from routed import http, prefix, to
from stage import Stage, serve, until

from balance.config.model import AccessLog, CircuitBreaker, HealthCheck, HttpConfig, PassiveChecks, Retry, TracingConfig
from balance.config.route_model import Buffering, HeaderChange, Mirror, TrafficPolicy, Transform
from balance.config.schema.addresses import TRUSTED_PROXY
from balance.tracing.http_spans import MAX_AGENT, MAX_PATH

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"traceparent: 00-{TRACE}-{SPAN}-01"
LOOPBACK = (TRUSTED_PROXY.read("127.0.0.0/8"),)
ON = Retry(max_attempts=3, on=("connect", "reset", 503), backoff_base_s=0.0, backoff_max_s=0.0)
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown"


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def traced(receiver: HttpReceiver, **given: Any) -> TracingConfig:
    return TracingConfig(**{"enabled": True, "endpoint": receiver.endpoint, "trust": LOOPBACK} | given)


def recording(requests: list[Message], reply: bytes = b"") -> Any:
    def answer(request: Message) -> bytes:
        requests.append(request)
        return reply or ok()

    return serve(answer)


async def ask(stage: Stage, request: bytes) -> Message:
    client = await stage.client()
    await client.send(request)
    return await client.reply()


async def sent(stage: Stage) -> None:
    """Everything is exported."""
    assert stage.worker.tracer is not None
    await until(lambda: not stage.active)
    await stage.worker.tracer.exporter.close(5.0)


async def test_a_request_is_a_span_and_its_try_is_one_below_it(stage: Stage, receiver: HttpReceiver) -> None:
    requests: list[Message] = []
    backend = stage.backend(recording(requests))
    await stage.open(tracing=traced(receiver, service_name="edge"), http=http(to("api", match=prefix("/"))))
    asked = get("/a/b?token=secret", PARENT, "tracestate: v=1", "User-Agent: curl/8", "X-Request-Id: me")
    assert (await ask(stage, asked)).status == 200
    await sent(stage)
    (server,), (client,) = receiver.servers, receiver.tries
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, SPAN)
    assert client.trace_id == server.trace_id and client.parent_span_id == server.span_id
    told = requests[0]
    assert told.get("traceparent") == f"00-{TRACE}-{client.span_id.hex()}-01" and told.get("tracestate") == "v=1"
    assert server.trace_state == client.trace_state == "v=1"
    assert (server.name, client.name) == ("GET api", "GET")
    assert server.start_time_unix_nano <= client.start_time_unix_nano <= client.end_time_unix_nano <= server.end_time_unix_nano
    of_server, of_client = attributes(server), attributes(client)
    assert of_server == {
        "http.request.method": "GET", "url.path": "/a/b", "url.scheme": "http", "server.address": "a.example",
        "server.port": 80, "network.protocol.version": "1.1", "client.address": "127.0.0.1", "user_agent.original": "curl/8",
        "http.route": "api", "http.response.status_code": 200, "balance.why": "ok", "balance.pool": "pool",
        "balance.backend": "n1", "balance.request_id": "me",
    }  # fmt: skip
    assert of_client == {
        "http.request.method": "GET", "url.full": f"http://{backend.address}/a/b", "server.address": "127.0.0.1",
        "server.port": backend.address.port, "http.response.status_code": 200, "balance.pool": "pool", "balance.backend": "n1",
    }  # fmt: skip
    assert server.status.code == client.status.code == Status.STATUS_CODE_UNSET
    assert "secret" not in str(receiver.requests)
    resource = attributes(receiver.requests[0].resource_spans[0].resource)
    assert resource["service.name"] == "edge" and resource["telemetry.sdk.language"] == "python"


async def test_what_is_malformed_begins_a_new_trace_and_is_no_error(stage: Stage, receiver: HttpReceiver) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests))
    await stage.open(tracing=traced(receiver))
    bad = [
        f"traceparent: ff-{TRACE}-{SPAN}-01",
        f"traceparent: 00-{TRACE.upper()}-{SPAN}-01",
        f"{PARENT}\r\n{PARENT}",
        "traceparent: x",
    ]
    for each in bad:
        assert (await ask(stage, get("/", each, "tracestate: v=1"))).status == 200
    await sent(stage)
    assert len(receiver.servers) == len(bad)
    for request in requests:
        parent = request.get("traceparent")
        assert parent is not None and re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent) and TRACE not in parent.lower()
        assert not request.all("tracestate")
    assert not any(span.parent_span_id or span.links for span in receiver.servers)


async def test_the_programs_log_names_the_trace_of_which_it_speaks(
    stage: Stage, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    stage.backend(recording([], b"HTTP/1.1 2 0 0\r\n\r\n"))
    await stage.open(tracing=traced(receiver))
    assert (await ask(stage, get("/", PARENT, "X-Request-ID: abc"))).status == 502
    said = [record for record in caplog.records if "not understood" in record.getMessage()]
    assert [(getattr(record, "request_id", ""), getattr(record, "trace_id", "")) for record in said] == [("abc", TRACE)]
    await sent(stage)


async def test_a_stranger_is_not_believed_but_linked_to(stage: Stage, receiver: HttpReceiver) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests))
    await stage.open(tracing=traced(receiver, trust=()))
    await ask(stage, get("/", PARENT[:-1] + "0", "tracestate: v=1"))
    await sent(stage)
    (server,) = receiver.servers
    assert server.trace_id.hex() != TRACE and not server.parent_span_id
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in server.links] == [(TRACE, SPAN)]
    assert TRACE not in str(requests[0].get("traceparent")) and not requests[0].all("tracestate")


async def test_trusted_proxies_are_trusted_unless_others_are_named(stage: Stage, receiver: HttpReceiver) -> None:
    stage.backend(serve(ok()))
    await stage.open(tracing=traced(receiver, trust=None), trusted=LOOPBACK)
    await ask(stage, get("/", PARENT, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"))
    await sent(stage)
    (server,) = receiver.servers
    assert server.trace_id.hex() == TRACE
    told = attributes(server)
    assert (told["client.address"], told["network.peer.address"], told["url.scheme"]) == ("192.0.2.7", "127.0.0.1", "https")


@pytest.mark.parametrize("rate", [0.0, 1.0])
async def test_a_share_is_sampled_and_backends_are_told_in_any_case(stage: Stage, receiver: HttpReceiver, rate: float) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests))
    await stage.open(tracing=traced(receiver, sample_rate=rate))
    client = await stage.client()
    for _ in range(3):
        await client.send(get("/"))
        await client.reply()
    await ask(stage, get("/", PARENT))
    await ask(stage, get("/", PARENT[:-1] + "0"))
    await sent(stage)
    parents = [str(request.get("traceparent")) for request in requests]
    assert [parent[-2:] for parent in parents] == [f"0{rate:.0f}"] * 3 + ["01", "00"]
    assert len({parent[3:35] for parent in parents}) == 4
    assert len(receiver.servers) == 3 * rate + 1


@pytest.mark.parametrize(
    ("propagate", "told"),
    [
        (("w3c",), {"traceparent": rf"00-{TRACE}-[0-9a-f]{{16}}-01", "b3": f"{TRACE}-{SPAN}-0"}),
        (("b3",), {"b3": rf"{TRACE}-[0-9a-f]{{16}}-0", "traceparent": rf"00-{TRACE}-{SPAN}-01"}),
        (("b3multi",), {"x-b3-traceid": TRACE, "x-b3-spanid": "[0-9a-f]{16}", "x-b3-sampled": "0"}),
    ],
)
async def test_the_formats_are_those_that_are_named(
    stage: Stage, receiver: HttpReceiver, propagate: tuple[str, ...], told: dict[str, str]
) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests))
    await stage.open(tracing=traced(receiver, propagate=propagate))
    await ask(stage, get("/", PARENT, f"b3: {TRACE}-{SPAN}-0"))
    for name, pattern in told.items():
        value = requests[0].get(name)
        assert value is not None and re.fullmatch(pattern, value), (name, value)


async def test_without_tracing_the_fields_go_on_as_they_came(stage: Stage) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests))
    await stage.open()
    await ask(stage, get("/", PARENT, "tracestate: v=1", "b3: 0"))
    await ask(stage, get("/"))
    assert [requests[0].get(name) for name in ("traceparent", "tracestate", "b3")] == [PARENT[13:], "v=1", "0"]
    assert requests[1].all("traceparent") == []


async def test_each_try_has_a_span_and_names_itself_to_its_backend(stage: Stage, receiver: HttpReceiver) -> None:
    first: list[Message] = []
    second: list[Message] = []
    stage.backend(recording(first, UNAVAILABLE))
    stage.backend(recording(second))
    await stage.open(stage.refusing(), tracing=traced(receiver), retry=ON)
    assert (await ask(stage, get("/x"))).status == 200
    await sent(stage)
    (server,) = receiver.servers
    refused, unavailable, good = receiver.tries
    assert [first[0].get("traceparent"), second[0].get("traceparent")] == [
        f"00-{server.trace_id.hex()}-{span.span_id.hex()}-01" for span in (unavailable, good)
    ]
    assert [attributes(span).get("error.type") for span in (refused, unavailable, good)] == ["connect_refused", "503", None]
    assert [attributes(span).get("http.response.status_code") for span in (refused, unavailable, good)] == [None, 503, 200]
    assert [attributes(span).get("http.request.resend_count") for span in (refused, unavailable, good)] == [None, 1, 2]
    assert refused.status.code == unavailable.status.code == Status.STATUS_CODE_ERROR != good.status.code
    assert {span.parent_span_id for span in receiver.tries} == {server.span_id}
    retries = [attributes(event) for event in server.events if event.name == "retry"]
    assert [each["balance.why"] for each in retries] == ["connect_refused", "503"]
    assert attributes(server)["balance.retry"] == "made" and server.status.code == Status.STATUS_CODE_UNSET


@pytest.mark.parametrize(
    ("status", "of_server", "of_client"),
    [(204, None, None), (304, None, None), (404, None, "404"), (429, None, "429"), (500, "500", "500")],
)
async def test_which_statuses_are_errors(
    stage: Stage, receiver: HttpReceiver, status: int, of_server: str | None, of_client: str | None
) -> None:
    stage.backend(serve(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()))
    await stage.open(tracing=traced(receiver))
    await ask(stage, get())
    await sent(stage)
    for span, error in ((receiver.servers[0], of_server), (receiver.tries[0], of_client)):
        assert attributes(span)["http.response.status_code"] == status
        assert attributes(span).get("error.type") == error
        assert (span.status.code == Status.STATUS_CODE_ERROR) is (error is not None)


async def test_a_failure_says_why_on_both(stage: Stage, receiver: HttpReceiver) -> None:
    await stage.open(stage.refusing(), tracing=traced(receiver))
    assert (await ask(stage, get())).status == 502
    await sent(stage)
    for span in (receiver.servers[0], receiver.tries[0]):
        assert attributes(span)["error.type"] == span.status.message == "connect_refused"
    assert attributes(receiver.servers[0])["http.response.status_code"] == 502
    assert "http.response.status_code" not in attributes(receiver.tries[0])


async def test_nobody_ready_is_a_span_without_a_try(stage: Stage, receiver: HttpReceiver) -> None:
    stage.backend(serve(ok()))
    await stage.open(tracing=traced(receiver))
    stage.listener_server.set_ready(stage.of(stage.backends[0]).slot, False)
    assert (await ask(stage, get())).status == 503
    await sent(stage)
    assert attributes(receiver.servers[0])["balance.why"] == attributes(receiver.servers[0])["error.type"] == "no_healthy"
    assert not receiver.tries


async def test_a_reply_that_breaks_off_is_an_error_though_its_status_is_200(stage: Stage, receiver: HttpReceiver) -> None:
    async def breaks(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    stage.backend(breaks)
    await stage.open(tracing=traced(receiver))
    client = await stage.client()
    await client.send(get())
    await client.has_ended()
    await sent(stage)
    server = receiver.servers[0]
    assert attributes(server)["http.response.status_code"] == 200 and attributes(server)["error.type"] == "reset_mid_response"
    assert server.status.code == Status.STATUS_CODE_ERROR


async def test_a_client_that_leaves_is_no_error_of_ours(stage: Stage, receiver: HttpReceiver) -> None:
    async def never(wire: Wire) -> None:
        await wire.request()
        await wire.has_ended()

    stage.backend(never)
    await stage.open(tracing=traced(receiver))
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.active)
    client.close()
    await sent(stage)
    server, attempt = receiver.servers[0], receiver.tries[0]
    assert attributes(server)["error.type"] == "client_abort" and "http.response.status_code" not in attributes(server)
    assert server.status.code == attempt.status.code == Status.STATUS_CODE_UNSET


async def test_a_client_that_leaves_within_its_reply_has_got_its_status(stage: Stage, receiver: HttpReceiver) -> None:
    async def half(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await wire.has_ended()

    stage.backend(half)
    await stage.open(tracing=traced(receiver))
    client = await stage.client()
    await client.send(get())
    await client.head()
    client.close()
    await sent(stage)
    for span in (receiver.servers[0], receiver.tries[0]):
        assert attributes(span)["http.response.status_code"] == 200 and span.status.code == Status.STATUS_CODE_UNSET
    assert attributes(receiver.servers[0])["error.type"] == "client_abort"


async def test_what_a_client_sends_is_bounded_and_its_method_makes_no_name(stage: Stage, receiver: HttpReceiver) -> None:
    stage.backend(serve(ok()))
    await stage.open(tracing=traced(receiver))
    asked = get("/" + "p" * 5000, "User-Agent: " + "\xe9" * 2000).replace(b"GET", b"BREW").decode("utf-8").encode("latin-1")
    assert (await ask(stage, asked)).status == 200
    await sent(stage)
    server, told = receiver.servers[0], attributes(receiver.servers[0])
    assert server.name == receiver.tries[0].name == "HTTP"
    assert (told["http.request.method"], told["http.request.method_original"]) == ("_OTHER", "BREW")
    assert len(told["url.path"]) == MAX_PATH and told["user_agent.original"] == "\xe9" * MAX_AGENT


async def test_a_wait_in_the_queue_is_an_event(stage: Stage, receiver: HttpReceiver) -> None:
    held: list[Wire] = []

    async def slow(wire: Wire) -> None:
        while await wire.request() is not None:
            held.append(wire)
            if len(held) > 1:
                await wire.send(ok())

    stage.backend(slow)
    await stage.open(tracing=traced(receiver), limits=[1])
    one, two = await stage.client(), await stage.client()
    await one.send(get())
    await until(lambda: held)
    await two.send(get("/second"))
    queue = stage.pool.queue
    assert queue is not None
    await until(lambda: queue.waiters)
    await held[0].send(ok())
    await one.reply()
    await two.reply()
    await sent(stage)
    second = next(span for span in receiver.servers if attributes(span)["url.path"] == "/second")
    (event,) = second.events
    assert event.name == "queue" and attributes(event)["balance.pool"] == "pool" and "balance.queue_ms" in attributes(event)


async def test_a_breaker_that_opens_is_an_event(stage: Stage, receiver: HttpReceiver) -> None:
    await stage.open(
        stage.refusing(),
        tracing=traced(receiver),
        breaker=CircuitBreaker(enabled=True, failure_threshold=1),
        health_check=HealthCheck(passive=PassiveChecks(enabled=False)),
    )
    await ask(stage, get())
    await sent(stage)
    (event,) = [event for event in receiver.servers[0].events if event.name == "circuit_breaker"]
    assert attributes(event) == {"balance.backend": "n1", "balance.breaker": "open"}


async def test_a_copy_for_a_mirror_hangs_below_the_request(stage: Stage, receiver: HttpReceiver) -> None:
    copies: list[Message] = []
    requests: list[Message] = []
    mirror = stage.backend(recording(copies))
    stage.backend(recording(requests))
    route = to("api", "pool", "mirror", policy=TrafficPolicy(mirror=Mirror("mirror", unsafe_methods=True)))
    await stage.open(tracing=traced(receiver), http=http(route), pools={"mirror": [mirror]})
    assert (await ask(stage, post(b"x"))).status == 200
    await until(lambda: copies)
    await sent(stage)
    (server,), (attempt,) = receiver.servers, receiver.tries
    assert str(copies[0].get("traceparent")).split("-")[2] == server.span_id.hex()
    assert str(requests[0].get("traceparent")).split("-")[2] == attempt.span_id.hex()


async def test_the_ids_are_in_the_access_log_sampled_or_not(stage: Stage, receiver: HttpReceiver) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests))
    log = stage.folder / "access.log"
    await stage.open(tracing=traced(receiver, sample_rate=0.0), access=AccessLog(enabled=True, output=str(log)))
    await ask(stage, get())
    await ask(stage, get("/", PARENT))
    await sent(stage)
    stage.worker.access.close()  # type: ignore[union-attr]
    unsampled, sampled = (json.loads(line) for line in log.read_text().splitlines())
    (server,) = receiver.servers
    assert requests[0].get("traceparent") == f"00-{unsampled['trace_id']}-{unsampled['span_id']}-00"
    assert (sampled["trace_id"], sampled["span_id"]) == (TRACE, server.span_id.hex())


async def test_an_upgrade_is_a_span_that_ends_with_its_101(stage: Stage, receiver: HttpReceiver) -> None:
    async def switches(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await wire.has_ended()

    stage.backend(switches)
    await stage.open(tracing=traced(receiver))
    client = await stage.client()
    await client.send(get("/ws", "Connection: Upgrade", "Upgrade: websocket"))
    head = await client.head()
    assert head is not None and head.status == 101
    await until(lambda: stage.worker.tracer.exporter._waiting)  # type: ignore[union-attr]
    client.close()
    await sent(stage)
    assert attributes(receiver.servers[0])["http.response.status_code"] == 101
    assert attributes(receiver.tries[0])["http.response.status_code"] == 101


BUFFERED = Buffering(request_bytes=1000)
ADDED = (HeaderChange("set", "X-A", "a"),)
NAMED = (HeaderChange("set", "X-B", "{backend}"),)
ON_ANY_WAY = {
    "plain": ({}, get()),
    "a route": ({"http": http(to("api", retry=ON))}, get()),
    "a route with a stage": ({"http": http(to("api", retry=ON, transform=Transform(request_headers=ADDED)))}, get()),
    "lines for each backend": ({"http": http(to("api", retry=ON, transform=Transform(request_headers=NAMED)))}, get()),
    "a buffered body": ({"http": HttpConfig(buffering=BUFFERED)}, post(b"body").replace(b"POST", b"PUT")),
    "a buffered body of a route": (
        {
            "http": http(
                to("api", retry=ON, buffering=Buffering(request_bytes=1000), transform=Transform(request_headers=ADDED))
            )
        },
        post(b"body").replace(b"POST", b"PUT"),
    ),
    "HTTP/1.0 without a Host": ({}, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    "large fields": ({}, get("/", *(f"X-{number}: {'a' * 300}" for number in range(60)), PARENT)),
    "an empty context": ({}, get("/", "traceparent: ", "tracestate: ", "X-B3-ParentSpanId: ")),
    "a sampled context": ({}, get("/", PARENT, "tracestate: v=1")),
    "TRACEPARENT": ({}, get("/", PARENT.replace("traceparent", "TRACEPARENT"))),
}


@pytest.mark.parametrize(("settings", "asked"), ON_ANY_WAY.values(), ids=ON_ANY_WAY)
async def test_on_any_way_each_backend_is_told_of_a_span_that_is_exported(
    stage: Stage, receiver: HttpReceiver, settings: dict[str, Any], asked: bytes
) -> None:
    requests: list[Message] = []

    async def second_time(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            requests.append(request)
            await wire.send(UNAVAILABLE if len(requests) == 1 else ok())

    stage.backend(second_time)
    stage.backend(second_time)
    await stage.open(tracing=traced(receiver), retry=ON, **settings)
    client = await stage.client()
    for _ in range(3):  # the later ones take short cuts
        await client.send(asked)
        assert (await client.reply()).status == (200 if requests[1:] else 503)
    await sent(stage)
    told = [str(request.get("traceparent")) for request in requests]
    assert sorted(told) == sorted(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in receiver.tries)
    assert len(told) >= 3 and len(receiver.servers) == 3
    assert {span.parent_span_id for span in receiver.tries} == {span.span_id for span in receiver.servers}
    ids = [span.span_id for span in receiver.spans]
    assert len(set(ids)) == len(ids)
    assert all(not request.all("tracestate") or b"tracestate: v=1" in asked for request in requests)


@pytest.mark.parametrize(("status", "is_error"), [(0, False), (5, False), (14, True)])
async def test_a_grpc_call_has_its_status(stage: Stage, receiver: HttpReceiver, status: int, is_error: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: %d\r\nContent-Length: 0\r\n\r\n" % status
    stage.backend(serve(head))
    await stage.open(tracing=traced(receiver), http=HttpConfig(grpc_web=True))
    await ask(stage, post(b"\0\0\0\0\0", "Content-Type: application/grpc-web"))
    await sent(stage)
    (server,) = receiver.servers
    found = attributes(server)
    assert (found["rpc.system"], found["rpc.grpc.status_code"]) == ("grpc", status)
    assert (server.status.code == Status.STATUS_CODE_ERROR) == is_error
