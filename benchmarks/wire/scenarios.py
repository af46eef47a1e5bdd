"""The rows of the benchmark: request, protocol, connections. One line in SCENARIOS per row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from wire.origin import LARGE_BYTES, MIDDLE_BYTES, SMALL_BYTES
from wire.peers.peer import Mode
from wire.peers.session import COOKIES

TCP_REQUEST_BYTES = 1024
GRPC_PATH = "/shop.Catalogue/Find.grpc"  # a type is told by a suffix, where the origin is a server of files
GRPC_REPLY_BYTES = 105  # a message of 100
POST_BYTES = 65_536
PLAIN_CONNECTIONS = 32  # of the rows with small replies

# What a browser or a service behind an API gateway sends: ten fields, Host among them, about 600 bytes.
HEADERS = (
    ("Host", "shop.example"),  # one name for all peers, so that all read the same bytes
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.7"),
    ("Cookie", "session=5f0c7e2ab1d94c3f8e6a; consent=2; theme=dark"),
    ("Referer", "https://shop.example/catalogue/lamps?page=3"),
    ("Cache-Control", "max-age=0"),
    ("X-Client-Version", "web/2026.11.3"),
    ("Authorization", "Bearer kM2vQ8sT1xW4zB7dF0hJ3lN6pR9uY5cE8gI1kO4qS7wA0eG3iM6oU9yC2aL5nP8r"),
)


class Question(Enum):
    """What a row wants to know."""

    CPU = "CPU per request"
    LATENCY = "added latency"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    question: Question
    mode: Mode
    path: str
    body_bytes: int
    connections: int
    unique: bool = False
    close: bool = False
    pad_to: int = 0
    everything: bool = False
    tls: bool = False  # between client and proxy
    minimal: bool = False  # Host alone
    sent_bytes: int = 0  # of a body that a POST has
    stages: bool = False  # a route by its host, and five rules that a request passes
    workers: int = 1
    streams: int = 0  # at once on each connection; the load is then h2load, otherwise wrk
    http2: bool = False  # between client and proxy: by ALPN over TLS, else by prior knowledge
    grpc: bool = False  # HTTP/2 on both sides, one call of gRPC for each request

    @property
    def method(self) -> str:
        return "POST" if self.sent_bytes or self.grpc else "GET"

    @property
    def twin(self) -> Scenario | None:
        """What the row is compared with: the plain request over HTTP/1, by the same load; None where there is no such thing."""
        if not self.http2 or self.question is not Question.CPU:
            return None
        plain = replace(self, http2=False, streams=1, connections=PLAIN_CONNECTIONS)
        return replace(plain, grpc=False, path="/1k", body_bytes=SMALL_BYTES) if self.grpc else plain


SCENARIOS: dict[str, Scenario] = {
    row.name: row
    for row in (
        Scenario("http-keepalive", "GET, 10 headers, 1 KB reply", Question.CPU, Mode.HTTP, "/1k", SMALL_BYTES, 32),
        Scenario("http-minimal", "GET, Host alone, 1 KB reply", Question.CPU, Mode.HTTP, "/1k", SMALL_BYTES, 32, minimal=True),
        Scenario("http-chunked", "the first row, the reply in chunks", Question.CPU, Mode.HTTP, "/chunked", SMALL_BYTES, 32),
        Scenario(
            "http-close", "the first row, a connection for each", Question.CPU, Mode.HTTP, "/1k", SMALL_BYTES, 32, close=True
        ),
        Scenario(
            "http-unique",
            "the same, no two requests and no two replies alike",
            Question.CPU,
            Mode.HTTP,
            "/unique",
            SMALL_BYTES,
            32,
            unique=True,
        ),
        Scenario(
            "http-everything",
            "the first row with checks, breaker, retries, a limit and a session",
            Question.CPU,
            Mode.HTTP,
            "/1k",
            SMALL_BYTES,
            32,
            everything=True,
        ),
        Scenario(
            "http-route-stages",
            "the first row by a route with five stages",
            Question.CPU,
            Mode.HTTP,
            "/1k",
            SMALL_BYTES,
            32,
            stages=True,
        ),
        Scenario(
            "tcp-1k",
            "1 KB up, 1 KB down, kept connections",
            Question.CPU,
            Mode.TCP,
            "/1k",
            SMALL_BYTES,
            32,
            pad_to=TCP_REQUEST_BYTES,
        ),
        Scenario("tcp-connect", "one connection per request", Question.CPU, Mode.TCP, "/1k", SMALL_BYTES, 32, close=True),
        Scenario("http-64k", "64 KB reply", Question.CPU, Mode.HTTP, "/64k", MIDDLE_BYTES, 32),
        Scenario("http-post-64k", "64 KB request", Question.CPU, Mode.HTTP, "/post", SMALL_BYTES, 32, sent_bytes=POST_BYTES),
        Scenario("tcp-64k", "64 KB reply", Question.CPU, Mode.TCP, "/64k", MIDDLE_BYTES, 32),
        Scenario("http-10m", "10 MB reply", Question.CPU, Mode.HTTP, "/10m", LARGE_BYTES, 4),
        Scenario("tcp-10m", "10 MB reply", Question.CPU, Mode.TCP, "/10m", LARGE_BYTES, 4),
        Scenario("http-latency", "one connection", Question.LATENCY, Mode.HTTP, "/1k", SMALL_BYTES, 1),
        Scenario("tls-keepalive", "the first row over TLS", Question.CPU, Mode.HTTP, "/1k", SMALL_BYTES, 32, tls=True),
        Scenario(
            "tls-route-stages",
            "the same by a route with five stages",
            Question.CPU,
            Mode.HTTP,
            "/1k",
            SMALL_BYTES,
            32,
            stages=True,
            tls=True,
        ),
        Scenario("tls-64k", "64 KB reply over TLS", Question.CPU, Mode.HTTP, "/64k", MIDDLE_BYTES, 32, tls=True),
        Scenario(
            "tls-connect", "one handshake per request", Question.CPU, Mode.HTTP, "/1k", SMALL_BYTES, 32, close=True, tls=True
        ),
        Scenario("tls-memory", "idle TLS connections", Question.MEMORY, Mode.HTTP, "/1k", SMALL_BYTES, 32, tls=True),
        Scenario(
            "h2-keepalive", "the first row over HTTP/2", Question.CPU, Mode.HTTP, "/1k", SMALL_BYTES, 32, streams=1, http2=True
        ),
        Scenario(
            "h2-ten",
            "ten requests at once on 4 connections",
            Question.CPU,
            Mode.HTTP,
            "/1k",
            SMALL_BYTES,
            4,
            streams=10,
            http2=True,
        ),
        Scenario(
            "h2-tls",
            "HTTP/2 over TLS",
            Question.CPU,
            Mode.HTTP,
            "/1k",
            SMALL_BYTES,
            32,
            streams=1,
            http2=True,
            tls=True,
        ),
        Scenario("h2-64k", "64 KB reply over HTTP/2", Question.CPU, Mode.HTTP, "/64k", MIDDLE_BYTES, 32, streams=1, http2=True),
        Scenario(
            "grpc-unary",
            "a call of gRPC, HTTP/2 on both sides",
            Question.CPU,
            Mode.HTTP,
            GRPC_PATH,
            GRPC_REPLY_BYTES,
            32,
            streams=1,
            http2=True,
            grpc=True,
        ),
        Scenario(
            "h2-memory",
            "idle connections of HTTP/2",
            Question.MEMORY,
            Mode.HTTP,
            "/1k",
            SMALL_BYTES,
            32,
            streams=1,
            http2=True,
        ),
        Scenario("memory", "idle keep-alive connections", Question.MEMORY, Mode.HTTP, "/1k", SMALL_BYTES, 32),
        Scenario(
            "memory-4-workers", "all processes of four workers", Question.MEMORY, Mode.HTTP, "/1k", SMALL_BYTES, 32, workers=4
        ),
        Scenario("tcp-memory", "idle TCP sessions", Question.MEMORY, Mode.TCP, "/1k", SMALL_BYTES, 32),
    )
}


def request_head(row: Scenario, query: str = "", last: tuple[tuple[str, str], ...] = ()) -> str:
    """The request's head as sent, byte for byte; `query` and `last` are where a unique request differs from the next."""
    headers = HEADERS[:1] if row.minimal else (*HEADERS, *last)
    if row.everything:  # by a client that has a session
        headers = tuple((name, f"{value}; {COOKIES}" if name == "Cookie" else value) for name, value in headers)
    if row.close:
        headers = (*headers, ("Connection", "close"))
    if row.sent_bytes:
        headers = (*headers, ("Content-Type", "application/octet-stream"), ("Content-Length", str(row.sent_bytes)))
    head = "".join([f"{row.method} {row.path}{query} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers)])
    if row.pad_to:
        missing = row.pad_to - len(head) - len("X-Padding: \r\n\r\n")
        head += f"X-Padding: {'p' * missing}\r\n"
    return head + "\r\n"
