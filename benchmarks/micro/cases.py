"""What is measured: a name and a call each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

from balance.balancing import POLICIES
from balance.config.model import BackendConfig, HttpConfig
from balance.http1.chunked import ChunkedBody
from balance.http1.request import RequestReader, parse_fields
from balance.http1.response import ResponseReader, parse_response
from balance.load import Load
from balance.model import Address, Outcome
from balance.runtime import cells
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool

Case = tuple[str, Callable[[], object]]

REQUEST = (
    b"GET /1k?page=%b HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\n"
    b"Accept: text/html,application/json;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\n"
    b"Cookie: session=abcdef0123456789; theme=dark\r\nReferer: http://www.example.com/some/page\r\n"
    b"Cache-Control: no-cache\r\nX-Api-Version: 2026-01-01\r\nAuthorization: Bearer abcdefghijklmnop%b\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 20 Nov 2026 18:11:52 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 1024\r\nConnection: keep-alive\r\nX-Trace: %b\r\n\r\n"
)


def all_cases() -> Iterator[Case]:
    yield from heads()
    yield from bodies()
    yield from counters()
    yield from leases()
    yield from picks()


def heads() -> Iterator[Case]:
    """Requests and replies, seen before and never seen."""
    numbers = itertools.count()
    requests, responses = RequestReader(HttpConfig()), ResponseReader()
    request, response = REQUEST % (b"1", b"1"), RESPONSE % b"1"
    block = request[request.find(b"\n") :]
    yield "request head of 10 fields, seen before", lambda: requests.read(request)
    yield "request head of 10 fields, new", lambda: requests.read(REQUEST % (b"1", b"%d" % next(numbers)))
    yield "  of which its fields", lambda: parse_fields(block, 1, HttpConfig())
    yield "reply head of 6 fields, seen before", lambda: responses.read(response)
    yield "reply head of 6 fields, new", lambda: responses.read(RESPONSE % b"%d" % next(numbers))
    yield "  of which its fields", lambda: parse_response(response)


def bodies() -> Iterator[Case]:
    """64 KB of chunks of 8 KB."""
    chunk = b"2000\r\n" + b"x" * 8192 + b"\r\n"
    message = chunk * 8 + b"0\r\n\r\n"
    yield "chunked body, 8 chunks of 8 KB", lambda: ChunkedBody().feed(message)


def counters() -> Iterator[Case]:
    row = _row(2)
    yield "count one exchange", lambda: row.count_exchange(1, b"GET", 200, 0, 1200, 1190, 400, 1200)


def leases() -> Iterator[Case]:
    """Acquire and release from 10 backends."""
    pool = _pool("round-robin", 10)

    def lease() -> None:
        taken = pool.acquire(b"", 1.0)
        assert taken is not None
        taken.release(Outcome.OK, 1.001)

    yield "acquire and release a lease", lease


def picks() -> Iterator[Case]:
    """Every policy over sets of growing size."""
    for name, policy_class in POLICIES.items():
        for size in (10, 100, 1_000, 10_000):
            policy = policy_class(random.random)
            policy.rebuild([Load(weight=1 + index % 3) for index in range(size)])
            yield f"pick: {name} of {size:,}", lambda policy=policy: policy.pick(b"", (), 1.0)


def _row(slots: int) -> cells.Row:
    return cells.Row(memoryview(bytearray(8 * cells.row_cells(slots))).cast("Q"))


def _pool(algorithm: str, size: int) -> Pool:
    backends = [Backend(BackendConfig(f"b{n}", Address("127.0.0.1", 9000 + n)), n + 1) for n in range(size)]
    return Pool("bench", backends, algorithm, POLICIES[algorithm](random.random), _row(size + 1))
