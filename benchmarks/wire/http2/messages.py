"""What a row's client sends, as fields: the harness's own connection and h2load say the same."""

from wire.scenarios import HEADERS, Scenario

Fields = list[tuple[str, str]]

# As a client of gRPC sends them; the message is one of 64 bytes, behind its five of flag and length.
GRPC_FIELDS = (
    ("User-Agent", "grpc-go/1.66.0"),
    ("Content-Type", "application/grpc"),
    ("TE", "trailers"),
    ("Grpc-Timeout", "10S"),
    ("Grpc-Accept-Encoding", "identity,deflate,gzip"),
    ("Authorization", "Bearer kM2vQ8sT1xW4zB7dF0hJ3lN6pR9uY5cE8gI1kO4qS7wA0eG3iM6oU9yC2aL5nP8r"),
)
GRPC_MESSAGE = b"\0" + (64).to_bytes(4, "big") + b"m" * 64
OWN = ("cookie", "authorization")
AUTHORITY = HEADERS[0][1]


def fields(row: Scenario) -> Fields:
    """Without Host."""
    return list(GRPC_FIELDS if row.grpc else HEADERS[1:])


def all_fields(row: Scenario, client: int = 0) -> Fields:
    """Of a request of HTTP/2, as it is encoded. Clients that are counted have a cookie and a token each."""
    pseudo = [(":method", row.method), (":scheme", "https" if row.tls else "http"), (":path", row.path)]
    found = [*pseudo, (":authority", AUTHORITY), *((name.lower(), value) for name, value in fields(row))]
    own = f"{client:08d}"
    return [(name, f"{value[: -len(own)]}{own}" if client and name in OWN else value) for name, value in found]


def body(row: Scenario) -> bytes:
    return GRPC_MESSAGE if row.grpc else b""
