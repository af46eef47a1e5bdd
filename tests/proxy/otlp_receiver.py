"""Receivers of OTLP that read what comes with the official messages: over HTTP, and over gRPC with grpcio."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

OK = (200, b"", {})
Reply = tuple[int, bytes, dict[str, str]]


class Received:
    """What came, and the questions that tests have about it."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.heads: list[tuple[str, dict[str, str]]] = []  # of the HTTP requests: path, and fields in lower case
        self.lock = threading.Lock()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        with self.lock:
            self.requests.append(request)

    @property
    def spans(self) -> list[Span]:
        with self.lock:
            return [
                span
                for request in self.requests
                for of_resource in request.resource_spans
                for of_scope in of_resource.scope_spans
                for span in of_scope.spans
            ]

    @property
    def servers(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]

    @property
    def tries(self) -> list[Span]:
        """Those of our tries, in the order in which they began."""
        return sorted((span for span in self.spans if span.kind == Span.SPAN_KIND_CLIENT), key=lambda s: s.start_time_unix_nano)

    def wait_for(self, count: int, patience_s: float = 15.0) -> list[Span]:
        deadline = time.monotonic() + patience_s
        while len(self.spans) < count:
            assert time.monotonic() < deadline, f"{len(self.spans)} of {count} spans came: {self.spans}"
            time.sleep(0.02)
        return self.spans


def attributes(span: Any) -> dict[str, Any]:
    """Those of a span, an event or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


class HttpReceiver(Received):
    """OTLP/HTTP. `reply` says what the next request is answered; it may take its time."""

    def __init__(self, reply: Callable[[int], Reply] = lambda number: OK) -> None:
        super().__init__()
        outer = self
        count = iter(range(1_000_000))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.heads.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                status, content, fields = reply(next(count))
                if status == 200:
                    outer.take(body)
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def rejecting(count: int, why: str) -> bytes:
    """The answer that some spans were not taken."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = count
    response.partial_success.error_message = why
    return response.SerializeToString()


class Silent:
    """Takes connections, and never answers."""

    def __init__(self) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._sock.getsockname()[1]}"

    def close(self) -> None:
        self._sock.close()
