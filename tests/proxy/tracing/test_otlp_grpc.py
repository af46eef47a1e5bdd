"""One export over gRPC: to grpcio's server, and to servers that do not speak it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from otlp_receiver import rejecting

from balance.errors import ProtocolError
from balance.proxy.tracing.otlp_grpc import GrpcReceiver
from balance.proxy.tracing.receiver import Answer
from balance.tracing.endpoint import parse_endpoint
from balance.tracing.otlp import SERVER, Resource, span, text_attribute

SPAN = span((b"0" * 31 + b"1", b"0" * 15 + b"2", b""), b"", "GET", SERVER, (1, 2), [text_attribute("a", "x" * 200)], 1, None)


class Service(TraceServiceServicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.metadata: dict[str, str] = {}
        self.code: grpc.StatusCode | None = None
        self.answer = b""

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> object:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        if self.code is not None:
            context.abort(self.code, "not now: 100%")
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        return ExportTraceServiceResponse.FromString(self.answer)


async def export(port: int, body: bytes) -> Answer:
    receiver = GrpcReceiver(parse_endpoint(f"grpc://127.0.0.1:{port}"), [("X-Api-Key", "k")])
    return await asyncio.wait_for(receiver.send(body), 10)


@pytest.mark.parametrize("spans", [1, 3000])  # the latter are beyond HTTP/2's first windows
def test_the_official_server_takes_it(spans: int) -> None:
    service = Service()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        body = Resource([("service.name", "b")], "balance", "1").request([SPAN] * spans)
        assert asyncio.run(export(port, body)) == Answer(True, False)
        (request,) = service.requests
        assert len(request.resource_spans[0].scope_spans[0].spans) == spans
        assert service.metadata["x-api-key"] == "k"
        service.answer = rejecting(2, "old")
        assert asyncio.run(export(port, body)) == Answer(True, False, 2, "old")
        for code, is_retryable in ((grpc.StatusCode.UNAVAILABLE, True), (grpc.StatusCode.RESOURCE_EXHAUSTED, True),
                                   (grpc.StatusCode.INVALID_ARGUMENT, False), (grpc.StatusCode.INTERNAL, False)):  # fmt: skip
            service.code = code
            answer = asyncio.run(export(port, body))
            assert (answer.is_taken, answer.is_retryable) == (False, is_retryable)
            assert f"gRPC status {code.value[0]} (" in answer.why
            assert code is not grpc.StatusCode.INTERNAL or "not now: 100%" in answer.why
    finally:
        server.stop(0)


def test_one_without_the_service_says_so() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        answer = asyncio.run(export(port, b""))
    finally:
        server.stop(0)
    assert not answer.is_taken and not answer.is_retryable and "it has no service for traces" in answer.why


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 60, b"\xff" * 60])
def test_what_is_not_grpc(reply: bytes) -> None:
    async def main() -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(reply)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(play, "127.0.0.1", 0)
        with pytest.raises((OSError, EOFError, ProtocolError)):
            await export(server.sockets[0].getsockname()[1], b"body")
        server.close()

    asyncio.run(main())
    assert threading.active_count() < 50
