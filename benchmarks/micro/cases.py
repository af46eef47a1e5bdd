"""The measured cases: a name and a call each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

from compressing import compression  # the file beside this one
from scripted.bytes_sent import REQUEST, RESPONSE
from scripted.site import EVERYTHING_ON, FIVE_STAGES, FIVE_STAGES_BY_PATH, ONE_ROUTE, PLAIN, many_routes
from sessions import sessions  # the file beside this one
from tls_reading import tls_reading  # the file beside this one
from whole import request  # the file beside this one

from balance.access_lists.access_lists import AccessLists
from balance.access_lists.address_range import AddressRange
from balance.access_lists.address_set import AddressSet
from balance.access_lists.timed_blocks import FOR_EVER, Network, TimedBlocks
from balance.balancing import POLICIES, Policy
from balance.balancing.consistent_hash import ring
from balance.balancing.maglev import build_table
from balance.config.model import BackendConfig, HashKey, HttpConfig
from balance.http1.chunked import ChunkedBody
from balance.http1.hash_key import key_extractor
from balance.http1.request import RequestReader, parse_fields
from balance.http1.response import ResponseReader, parse_response
from balance.load import Load
from balance.model import Address, Outcome
from balance.proxy.listener_access import packed_address
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool
from balance.runtime.row import Row

Case = tuple[str, Callable[[], object]]

SIZES = (10, 100, 1_000, 10_000)


def all_cases() -> Iterator[Case]:
    yield from whole_requests()
    yield from heads()
    yield from bodies()
    yield from compression()
    yield from tls_reading()
    yield from sessions()
    yield from counting()
    yield from leases()
    yield from keys()
    yield from outcomes()
    yield from picks()
    yield from rebuilds()
    yield from tables()
    yield from access_lists()


def whole_requests() -> Iterator[Case]:
    """GET, 1 KB of reply, kept connections: as the wire benchmark has them."""
    yield "a whole request, plain", request(PLAIN)
    yield "a whole request, everything on", request(EVERYTHING_ON)
    yield "a whole request, one route by host", request(ONE_ROUTE)
    yield "a whole request, 1,000 routes", request(many_routes(1000))
    yield "a whole request, a route with five stages", request(FIVE_STAGES)
    yield "a whole request, five stages, one by path", request(FIVE_STAGES_BY_PATH)


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


def counting() -> Iterator[Case]:
    row = _row(2)
    yield "count one exchange", lambda: row.count_exchange(1, counters.NO_ROUTE, b"GET", 200, 0, 1200, 1190, 400, 1200, 0)


def leases() -> Iterator[Case]:
    """Acquire and release from 10 backends: by turns, and with policies that learn from it."""
    for name in ("round-robin", "least-connections", "power-of-two", "least-response-time", "adaptive", "maglev"):
        pool = _pool(name, 10)
        clock = itertools.count()

        def lease(pool: Pool = pool, clock: Iterator[int] = clock) -> None:
            now = next(clock) / 1e4
            taken = pool.acquire(b"key", now)
            assert taken is not None
            taken.release(Outcome.OK, now, 0.001)

        yield f"acquire and release a lease, {name}", lease


def keys() -> Iterator[Case]:
    """What a request is hashed by."""
    request = RequestReader(HttpConfig()).read(REQUEST % (b"1", b"1"))
    for kind, name in (("source-ip", ""), ("header", "X-Api-Version"), ("cookie", "theme"), ("path", ""), ("query", "page")):
        find = key_extractor(HashKey(kind, name))
        yield f"hash key: {kind}", lambda find=find: find(request.fields, request.target, "192.0.2.1")


def outcomes() -> Iterator[Case]:
    """What a policy learns from a lease, for those that want to know."""
    clock = itertools.count()
    load = Load()
    yield "note a good answer", lambda: load.record_outcome(True, next(clock) / 1e3)
    yield "learn a good answer's latency", lambda: load.record_latency(0.02, True, next(clock) / 1e3)
    unwell = Load()
    yield "learn a failure", lambda: unwell.record_latency(0.02, False, next(clock) / 1e3)


def picks() -> Iterator[Case]:
    """Every policy over sets of growing size, each request with a key of its own, all backends in use."""
    for name in POLICIES:
        for size in SIZES:
            policy, _ = _policy(name, size)
            numbers = itertools.count()

            def pick(policy: Policy = policy, numbers: Iterator[int] = numbers) -> int:
                number = next(numbers)
                return policy.pick(b"%d" % number, (), number / 1e4)

            yield f"pick: {name} of {size:,}", pick


def rebuilds() -> Iterator[Case]:
    """A backend goes or comes back: on a worker's loop, so it may take a moment and not more."""
    for name in POLICIES:
        for size in SIZES:
            policy, loads = _policy(name, size)
            ready = itertools.cycle((loads[1:], loads))
            yield (
                f"flap: {name} of {size:,}",
                lambda policy=policy, ready=ready, loads=loads: policy.rebuild(next(ready), loads),
            )


def tables() -> Iterator[Case]:
    """What hashing lays over the members: when a worker starts or they change, never in a flap."""
    for name, lay in (("ring", ring), ("maglev", build_table)):
        for size in SIZES:
            membership = tuple((b"backend-%d" % number, 1 + number % 3) for number in range(size))
            yield f"lay: {name} of {size:,}", lambda lay=lay, membership=membership: lay.__wrapped__(membership)


def access_lists() -> Iterator[Case]:
    """An address among 100,000 ranges, as accept() tells it, text to verdict; the same for what is blocked at run time."""
    rand = random.Random(1)
    four = AddressSet(AddressRange(False, number, number + 3) for number in (rand.getrandbits(31) for _ in range(100_000)))
    six = AddressSet(
        AddressRange(True, number << 64, number + 1 << 64) for number in (rand.getrandbits(64) for _ in range(100_000))
    )
    for name, listed, address in (("IPv4", four, "77.1.2.3"), ("IPv6", six, "2001:db8::77:1")):
        lists = AccessLists(blocked=listed)
        yield (
            f"access list of 100,000 ranges, {name}",
            lambda lists=lists, address=address: lists.admits(packed_address(address)),
        )
    blocks = TimedBlocks()
    for number in range(10_000):
        blocks.block(Network(False, number << 8, 8 if number % 2 else 0), FOR_EVER)
    yield "blocks at run time, 10,000", lambda: blocks.has(packed_address("77.1.2.3") or b"", 1)


def _policy(name: str, size: int) -> tuple[Policy, list[Load]]:
    loads = [Load(1 + number % 3, number % 4, identity=b"backend-%d" % number) for number in range(size)]
    for number, load in enumerate(loads):
        load.record_latency(0.01 + number % 7 / 1e3, True, 0.0)
    policy = POLICIES[name](random.random)
    policy.rebuild(loads)
    return policy, loads


def _row(slots: int) -> Row:
    return Row(memoryview(bytearray(8 * counters.row_cells(slots))).cast("Q"))


def _pool(algorithm: str, size: int) -> Pool:
    backends = [Backend(BackendConfig(f"b{n}", Address("127.0.0.1", 9000 + n)), n + 1) for n in range(size)]
    return Pool("bench", backends, algorithm, POLICIES[algorithm](random.random), _row(size + 1))
