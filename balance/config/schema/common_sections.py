"""Sections that stand in several places: timeouts, backends, load_balancer and retry, at the top, in pools and in routes."""

from __future__ import annotations

from typing import Annotated

from balance.balancing import POLICIES
from balance.config.model import HashKey
from balance.config.schema import scalars as kind
from balance.config.schema.addresses import BACKEND_ADDRESS, BackendAddress
from balance.config.schema.hash_keys import HASH_KEY
from balance.config.schema.section import Count, Flag, Name, Period, Section, Text, Timeout, key, one_or_list

ALGORITHMS = tuple(POLICIES)
_HTTP2 = "'h2' with TLS, 'h2c' without"
PROTOCOL = kind.choice(
    "http1", "h2", "h2c", "auto", meant={**dict.fromkeys(("http2", "http/2", "grpc"), _HTTP2), "http/1.1": "'http1'"}
)

_RETRY_ON = one_or_list(kind.RETRY_ON)
RetryOn = Annotated[list[Annotated[str | int, kind.RETRY_ON]], _RETRY_ON[0], _RETRY_ON[1]]


class RouteTimeoutsSection(Section):
    """Those of `timeouts` that a route may have for its own. The nearest wins, key by key: a route's, then its pool's, then a
    listener's, then those at the top."""

    section_name = "route timeouts"
    connect: Timeout = key("To open a connection to a backend; then the next backend is tried.", "5s")
    read: Timeout = key(
        "HTTP: without a byte from the backend while a reply is awaited (then 504) or under way. Longer than its longest "
        "silence, as of a long poll.",
        "60s",
    )
    write: Timeout = key("HTTP: without a byte taken by a peer, a client or a backend, that has something to read.", "30s")
    request: Timeout = key(
        "HTTP: for a whole request, all tries included; then 504. 0: none, streams may last. Of gRPC calls it bounds the "
        "deadlines that clients give; one without a deadline has no end.",
        "0",
    )


class PoolTimeoutsSection(RouteTimeoutsSection):
    """Those of `timeouts` that a pool may have for its own. The nearest wins, key by key: a route's, then a pool's, then a
    listener's, then those at the top."""

    section_name = "pool timeouts"
    idle: Timeout = key(
        "TCP: without a byte either way; then the session is cut. A peer that has vanished is found by TCP keep-alive within "
        "two minutes, so this is for sessions that nobody needs any more: as long as a pooled database connection may rest.",
        "10m",
    )
    half_closed: Timeout = key(
        "TCP, and HTTP once a connection is upgraded: without a byte once one side has said its last; HAProxy's timeout "
        "client-fin and server-fin. 0: `idle` or `tunnel` decides, as it does where that is shorter.",
        "0",
    )
    tunnel: Timeout = key(
        "HTTP: without a byte either way once a connection is upgraded (WebSocket), and in a gRPC call, in place of `read` and "
        "`client_body`.",
        "1h",
    )


class ListenerTimeoutsSection(PoolTimeoutsSection):
    """Those of `timeouts` that a listener may have for its own: all but `drain`."""

    section_name = "listener timeouts"
    client_header: Timeout = key("HTTP: for a client to send the whole head of a request; then 408.", "10s")
    client_body: Timeout = key("HTTP: without a byte of a request body that is under way; then 408.", "30s")
    keepalive: Timeout = key(
        "HTTP: for an idle client connection; longer than the balancer in front keeps it (AWS 60s, Google 600s).", "75s"
    )


class TimeoutsSection(ListenerTimeoutsSection):
    """Durations; 0 switches one off. `read`, `write`, `idle`, `half_closed`, `tunnel` and `client_body` are of inactivity: what
    is in use is never cut. A listener may have its own of all but `drain`, a pool of those that are towards backends:
    `connect`, `read`, `write`, `request`, `idle`, `half_closed`, `tunnel`, and a route the first four of these. The nearest
    wins, key by key: a route's, then a pool's, then a listener's, then those here."""

    section_name = "timeouts"
    drain: Timeout = key(
        "For what is in flight when the process stops. With shutdown.delay it must fit into the time that whoever stops it "
        "gives (Kubernetes 30s).",
        "20s",
    )


class BackendSection(Section):
    """One machine that does the work."""

    section_name = "backend"
    name: Name = key(
        "Its name in logs, metrics and the admin API; unique in its pool. Default: backend-1, -2, ... by position."
    )
    address: Annotated[BackendAddress, BACKEND_ADDRESS] = key(
        "host:port, [v6]:port, unix:/path, http://host:port or https://host:port; https has TLS as tls.backend says. A name is "
        "resolved again every 30 s, and one backend whatever it resolves to; discovery.dns makes each of its addresses one.",
        required=True,
    )
    weight: Annotated[int, kind.integer(0, 65535)] = key(
        "Its share of the traffic, next to the others' weights. 0: nothing new goes there, while what is under way and its "
        "sessions stay; with all at 0 the answer is 503.",
        1,
    )
    max_connections: Count = key(
        "Requests (HTTP) or sessions (TCP) that it may have at once, over all workers; then another backend is chosen, and "
        "when all are full requests wait in the queue. 0 is no limit.",
        0,
    )
    protocol: Annotated[str, PROTOCOL] = key(
        "What it speaks in HTTP mode: http1; h2, HTTP/2 over TLS; h2c, HTTP/2 without TLS, by prior knowledge; auto, over "
        "TLS what it chooses of h2 and http/1.1. With HTTP/2 requests share few connections. Default: its pool's "
        "backend_protocol.",
    )
    backup: Flag = key(
        "Whether it is used only while no other backend of its pool is ready, or when all of those failed.", False
    )
    region: Annotated[str, kind.REGION] = key("Where it is, for policy.regions of routes. Without one: in every region.", "")
    metadata: dict[Text, Text] = key("Anything you want to see next to it in the admin API.", {})


class LoadBalancerSection(Section):
    """Which backend comes next."""

    section_name = "load_balancer"
    algorithm: Annotated[str, kind.choice(*ALGORITHMS, spellings={"bounded-consistent-hash": "bounded-load"})] = key(
        "round-robin takes turns and looks at no weight; all others do. Which is for whom: BALANCING.md.", "round-robin"
    )
    hash_key: Annotated[HashKey, HASH_KEY] = key(
        "What consistent-hash, maglev and bounded-load keep together: source-ip, path, header:NAME, cookie:NAME or query:NAME. "
        "A request without it goes anywhere. TCP listeners know source-ip only.",
        "source-ip",
    )


class RetryBudgetSection(Section):
    """What retries may add to a pool's load, so that they can't turn a bad minute into an overload. A move away from a backend
    that can't be connected to is free."""

    section_name = "budget"
    ratio: Annotated[float, kind.fraction()] = key("The share of its requests of the last 10s that may be retries.", 0.2)
    min_per_second: Annotated[int, kind.integer(0, 1_000_000)] = key("So many a second in any case, over all workers.", 10)


class RetrySection(Section):
    """Sends a request whose try failed once more, to another backend while there is one, where that is safe: after a failed
    connection any request; else GET, HEAD, OPTIONS, PUT, DELETE and requests with an Idempotency-Key, with a body of at most
    64KB, before the client has seen anything of a reply. gRPC calls, which are all POST, are sent again where `on` lists their
    status. timeouts.request covers all tries and the waits between them.

    Two things happen without it, and whatever `enabled` says: a backend that can't be connected to is passed over for the next
    (up to 3), and a request that meets a reused connection just as it closes is sent again on a new one. A TCP listener knows
    `enabled`, and of `on` connect."""

    section_name = "retry"
    enabled: Flag = key("Whether requests are tried again.", True)
    max_attempts: Annotated[int, kind.integer(1, 100)] = key(
        "How often a request is sent, the first time included. A connection that failed sent nothing and is not counted.", 2
    )
    backoff_base: Period = key(
        "The first wait; timers turn every 50ms. After a reset the first move, to another backend, waits for nothing.", "100ms"
    )
    backoff_max: Period = key("No wait is longer.", "5s")
    multiplier: Annotated[float, kind.number(1, 100)] = key("How much longer each wait is than the one before.", 2)
    jitter: Annotated[float | None, kind.fraction(or_full=True)] = key(
        "full: a wait takes anything from nothing to its whole length. A number: it strays by that share of it.", "full"
    )
    on: RetryOn = key(
        "What is tried again: connect (no connection: at once with every other backend that is ready, up to 5 in all), reset "
        "(closed before a reply), timeout (no reply in time; 504 asks for that, too), and statuses from 400 to 599. A reply "
        "with Retry-After is passed on. For gRPC calls that ended with that status and nothing else: cancelled, "
        "deadline-exceeded, internal, resource-exhausted, unavailable; grpc-retry-pushback-ms is obeyed.",
        ["connect", "reset"],
    )
    per_try_timeout: Timeout = key(
        "To connect and to get the head of a reply, from the end of the request where that still comes; 0 leaves it to "
        "timeouts.connect and .read.",
        "0s",
    )
    budget: RetryBudgetSection = key("How many retries there may be.")
