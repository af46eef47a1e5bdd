"""What a running instance has to show. Each check answers in a line; what an instance does not have is said, and not passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from instance import Instance, Reply, Unreachable, risen

HOLDS, FAILS, NOT_CONFIGURED, NOT_TRIED = "holds", "FAILS", "not configured", "not tried"
IN_TURNS = ("round-robin", "weighted-round-robin")
BY_KEY = ("consistent-hash", "maglev", "bounded-load", "source-ip")
AT_ONCE = 25
STICKY_REQUESTS = 10
NEEDED_METRICS = (
    "balance_backend_healthy", "balance_backend_requests_total", "balance_connections_total", "balance_requests_ended_total",
    "balance_active_connections", "process_start_time_seconds",
)  # fmt: skip
SETTLE_S = 2.0  # counters of workers are added up a few times a second


class Result(NamedTuple):
    verdict: str
    detail: str


@dataclass(frozen=True)
class Options:
    path: str = "/"
    fields: tuple[tuple[str, str], ...] = ()
    requests: int = 60
    most: int = 300  # requests that a rate limit may take to be seen
    has_orders: bool = False


Check = Callable[[Instance, Options], Result]


def health(instance: Instance, options: Options) -> Result:
    """Alive, ready, and somebody answers through the proxy."""
    for path in ("/health", "/ready"):
        reply = instance.admin.ask(path)
        if reply.status != 200:
            return Result(FAILS, f"{path} says {reply.status}: {short(reply)}")
    reply = asked(instance, options)
    if reply.status >= 500:
        return Result(FAILS, f"{options.path} through the proxy says {reply.status}: {short(reply)}")
    backends = instance.backends()
    ready = [each for each in backends if may_get_traffic(each)]
    if backends and not ready:
        return Result(FAILS, "no backend is healthy")
    out = ", ".join(f"{each['pool']}/{each['name']} {each['state']}" for each in backends if not may_get_traffic(each))
    return Result(HOLDS, f"{len(ready)} of {len(backends)} backends ready" + (f"; out: {out}" if out else ""))


def distribution(instance: Instance, options: Options) -> Result:
    """Each ready backend gets what its weight says."""
    before = instance.counts()
    statuses = [asked(instance, options).status for _ in range(options.requests)]
    if bad := [each for each in statuses if each >= 500]:
        return Result(FAILS, f"{len(bad)} of {options.requests} requests were answered {bad[0]}")
    rise = settled(instance, before, options.requests)
    if not rise:
        return Result(NOT_TRIED, f"{options.path} is answered without a backend; say another --path")
    pool = max(rise, key=lambda name: sum(rise[name].values()))
    got = rise[pool]
    backends = [each for each in instance.backends() if each["pool"] == pool]
    ready = {each["name"]: each for each in backends if may_get_traffic(each)}
    members = {name: each for name, each in ready.items() if each["weight"] and not each["backup"]}
    shares = ", ".join(f"{name} {got.get(name, 0)}" for name in got)
    algorithm = next((each["algorithm"] for each in instance.pools() if each["name"] == pool), "")
    if stray := [each["name"] for each in backends if is_out(each) and got.get(each["name"])]:
        return Result(FAILS, f"{', '.join(stray)} of pool {pool} got requests and is out ({shares})")
    if len(members) < 2:
        return Result(NOT_CONFIGURED, f"pool {pool} has one backend that is ready ({shares})")
    if algorithm in BY_KEY or is_sticky_by_address(instance, pool):
        return Result(HOLDS, f"pool {pool}: {shares}; {algorithm} sends one client to one backend")
    total_weight, total = sum(each["weight"] for each in members.values()), sum(got.values())
    for name, backend in members.items():
        expected = total * (backend["weight"] if algorithm != "round-robin" else total_weight / len(members)) / total_weight
        # Each worker takes its own turns, and begins at another backend. Others look at load: they owe nobody a share.
        least = expected / 2 if algorithm in IN_TURNS else 1
        if expected >= 4 and got.get(name, 0) < least:
            return Result(
                FAILS, f"pool {pool} ({algorithm}): {name} got {got.get(name, 0)}, about {expected:.0f} expected ({shares})"
            )
    return Result(HOLDS, f"pool {pool} ({algorithm or 'algorithm unknown'}): {shares}")


def stickiness(instance: Instance, options: Options) -> Result:
    """A client with a session stays where it is."""
    pools = {each["name"]: each["session_affinity"] for each in instance.pools() if each["session_affinity"]["enabled"]}
    if not pools:
        return Result(NOT_CONFIGURED, "no pool has session_affinity")
    reasons = []
    for name, affinity in pools.items():
        place = place_of(instance, options, lambda route, name=name: route["pool"] == name or name in route.get("split", []))
        if place is None:
            reasons.append(f"no plain path leads to pool {name}")
            continue
        path, fields = place
        if affinity["mode"] == "header" and affinity["header"]:
            fields = {**fields, affinity["header"]: "smoke-test"}
        elif affinity["mode"] == "cookie":
            first = instance.proxy.ask(path, fields=fields)
            cookie = cookie_of(first, affinity["cookie"]["name"])
            if not cookie:
                return Result(FAILS, f"pool {name}: {path} sets no cookie {affinity['cookie']['name']} (status {first.status})")
            fields = {**fields, "Cookie": cookie}
        settle(instance)
        before = instance.counts()
        for _ in range(STICKY_REQUESTS):
            instance.proxy.ask(path, fields=fields)
        rise = settled(instance, before, STICKY_REQUESTS).get(name, {})
        at = {backend: count for backend, count in rise.items() if count}
        if len(at) != 1:
            return Result(FAILS, f"pool {name}: {STICKY_REQUESTS} requests of one session went to {at or 'nobody'}")
        reasons.append(f"pool {name}: {STICKY_REQUESTS} of {STICKY_REQUESTS} went to {next(iter(at))}")
        return Result(HOLDS, reasons[-1])
    return Result(NOT_TRIED, "; ".join(reasons))


def breaker(instance: Instance, options: Options) -> Result:
    """Each breaker is in one state, and page and metrics agree on it. None is opened for this."""
    pools = {each["name"] for each in instance.pools() if (each["circuit_breaker"] or {}).get("enabled")}
    if not pools:
        return Result(NOT_CONFIGURED, "no pool has circuit_breaker")
    samples = instance.metrics().get("balance_circuit_breaker_state", [])
    open_ones, seen = [], 0
    for backend in instance.backends():
        if backend["pool"] not in pools:
            continue
        name = f"{backend['pool']}/{backend['name']}"
        told = backend["breaker"]["state"] if backend["breaker"] else None
        in_metrics = [
            labels["state"] for labels, value in samples
            if value == 1 and (labels.get("pool"), labels.get("backend")) == (backend["pool"], backend["name"])
        ]  # fmt: skip
        if in_metrics != [told]:
            return Result(FAILS, f"the breaker of {name} is {told} on /backends and {in_metrics} in /metrics")
        seen += 1
        if told != "closed":
            open_ones.append(f"{name} {told} ({backend['breaker']['why']})")
    return Result(HOLDS, f"{seen} breakers" + (f"; {', '.join(open_ones)}" if open_ones else ", all closed"))


def rate_limit(instance: Instance, options: Options) -> Result:
    """Who asks too often gets 429 and is told when to come again. (This address has used its allowance up then.)"""
    limited = [each for each in instance.routes() if (each.get("rate_limit") or {}).get("enabled")]
    if not limited:
        return Result(NOT_CONFIGURED, "no route of this listener has rate_limit")
    place = place_of(instance, options, lambda route: bool((route.get("rate_limit") or {}).get("enabled")))
    if place is None:
        return Result(NOT_TRIED, "no plain path leads to a route with rate_limit")
    path, fields = place
    limit = next(each["rate_limit"] for each in limited if leads_to(each, path))
    if limit["report_only"]:
        return Result(NOT_CONFIGURED, "report_only refuses nobody")
    if limit["type"] == "token-bucket":
        allowed = int(limit["burst"] or limit["requests_per_second"])
    else:
        allowed = limit["max_requests"]
    if allowed > options.most:
        return Result(NOT_TRIED, f"{allowed} requests would be needed; --most {allowed + AT_ONCE} tries it")
    replies: list[Reply | Unreachable] = []
    while len(replies) < allowed * 2 + 2 * AT_ONCE and not any(status_of(each) == 429 for each in replies):
        replies += instance.proxy.ask_at_once(path, AT_ONCE, fields)
    refused = [each for each in replies if isinstance(each, Reply) and each.status == 429]
    if not refused:
        keys = "+".join(limit["key"])
        verdict = FAILS if {*limit["key"]} <= {"client-ip", "path", "route"} and not limit["allowlist"] else NOT_TRIED
        return Result(verdict, f"{len(replies)} requests to {path} and no 429; {allowed} are allowed by {keys}")
    if "retry-after" not in refused[0].headers:
        return Result(FAILS, f"429 from {path} without Retry-After")
    return Result(
        HOLDS, f"{path}: 429 within {len(replies)} requests, {allowed} allowed; Retry-After {refused[0].headers['retry-after']}"
    )


def metrics(instance: Instance, options: Options) -> Result:
    """The names that dashboards and alerts ask for are there, and count."""
    before = instance.metrics()
    if not before:
        reply = instance.admin.ask("/metrics")
        return Result(FAILS, f"/metrics says {reply.status}: {short(reply)}")
    if missing := [name for name in NEEDED_METRICS if name not in before]:
        return Result(FAILS, f"no {', '.join(missing)} in /metrics")
    sent = 5
    for _ in range(sent):
        asked(instance, options)

    def rise() -> float:
        name = "balance_requests_ended_total"
        return total(instance.metrics(), name) - total(before, name)

    wait_for(lambda: rise() >= sent)
    if rise() < sent:
        return Result(FAILS, f"{sent} requests, and balance_requests_ended_total rose by {rise():.0f}")
    return Result(HOLDS, f"{len(before)} names, {sum(map(len, before.values()))} samples; requests are counted")


def dashboard(instance: Instance, options: Options) -> Result:
    """The page is there, what it shows comes, and no other path is taken for it."""
    page = instance.admin.ask("/", fields={"Accept": "text/html"})
    if page.status == 404 and (instance.config.get("admin") or {}).get("dashboard") is not True:
        return Result(NOT_CONFIGURED, "admin.dashboard is false")
    if page.status != 200 or b"<title>" not in page.body:
        return Result(FAILS, f"/ says {page.status}: {short(page)}")
    other = instance.admin.ask("/no-such-page-of-the-smoke-test")
    if other.status != 404:
        return Result(FAILS, f"a path that is none says {other.status}")
    state = instance.admin.ask("/dashboard/state")
    if not isinstance(state.json(), dict):
        return Result(FAILS, f"/dashboard/state says {state.status}: {short(state)}")
    return Result(HOLDS, f"page of {len(page.body)} bytes, state of {len(state.body)}")


def at_once(instance: Instance, options: Options) -> Result:
    """25 clients together are all answered."""
    began = time.monotonic()
    replies = instance.proxy.ask_at_once(options.path, AT_ONCE, dict(options.fields))
    took_s = time.monotonic() - began
    lost = [each for each in replies if isinstance(each, Unreachable)]
    if lost:
        return Result(FAILS, f"{len(lost)} of {AT_ONCE} got no reply: {lost[0]}")
    statuses = sorted({status_of(each) for each in replies})
    if statuses[-1] >= 500:
        return Result(FAILS, f"statuses {statuses}")
    return Result(HOLDS, f"{AT_ONCE} replies in {took_s * 1000:.0f} ms, status {', '.join(map(str, statuses))}")


def drain(instance: Instance, options: Options) -> Result:
    """With --orders: a backend that drains gets nothing new, and is put back."""
    if not options.has_orders:
        return Result(NOT_TRIED, "changes something; --orders tries it")
    before = instance.counts()
    for _ in range(10):
        asked(instance, options)
    rise = settled(instance, before, 10)
    pool = max(rise, key=lambda name: sum(rise[name].values()), default="")
    ready = [each["name"] for each in instance.backends() if each["pool"] == pool and may_get_traffic(each)]
    if len(ready) < 2:
        return Result(NOT_TRIED, "needs a pool with two ready backends")
    name = max(ready, key=lambda each: rise[pool].get(each, 0))
    reply = instance.change(pool, name, "drain")
    if reply.status >= 300:
        return Result(FAILS, f"draining {pool}/{name} was answered {reply.status}: {short(reply)}")
    try:
        settle(instance)
        before = instance.counts()
        statuses = [asked(instance, options).status for _ in range(20)]
        rise = settled(instance, before, 20).get(pool, {})
    finally:
        back = instance.change(pool, name, "enable")
    if back.status >= 300:
        return Result(FAILS, f"{pool}/{name} is drained still: enabling it was answered {back.status}: {short(back)}")
    if rise.get(name) or max(statuses) >= 500:
        return Result(FAILS, f"while {pool}/{name} drained it got {rise.get(name, 0)} of 20, worst status {max(statuses)}")
    return Result(HOLDS, f"{pool}/{name} got none of 20 while it drained, and is enabled again")


CHECKS: dict[str, Check] = {
    "health": health,
    "distribution": distribution,
    "stickiness": stickiness,
    "breaker": breaker,
    "metrics": metrics,
    "dashboard": dashboard,
    "25 at once": at_once,
    "drain": drain,
    "rate limit": rate_limit,  # last: it uses up what this address may ask
}


# What they share


def asked(instance: Instance, options: Options) -> Reply:
    return instance.proxy.ask(options.path, fields=dict(options.fields))


def may_get_traffic(backend: dict[str, Any]) -> bool:
    """Its normal share; one that is on trial, or that drains, gets some."""
    return backend["state"] in ("healthy", "unchecked") and (backend["breaker"] or {}).get("state", "closed") == "closed"


def is_out(backend: dict[str, Any]) -> bool:
    """It should get nothing at all, but for who was sent there before it was out."""
    return backend["state"] in ("unhealthy", "ejected", "maintenance")


def is_sticky_by_address(instance: Instance, pool: str) -> bool:
    found = next((each["session_affinity"] for each in instance.pools() if each["name"] == pool), {"enabled": False})
    return bool(found["enabled"] and found["mode"] != "cookie")


def place_of(
    instance: Instance, options: Options, is_wanted: Callable[[dict[str, Any]], bool]
) -> tuple[str, dict[str, str]] | None:
    """A path, and fields, that lead to a route that is wanted: the first in order that matches is taken."""
    routes = instance.routes()
    paths = [options.path, *(each["match"]["path"] for each in routes if each["match"]["path_operator"] in ("exact", "prefix"))]
    for path in paths:
        first = next((each for each in routes if leads_to(each, path)), None)
        if first is not None and is_wanted(first):
            return path, dict(options.fields)
    return None


def leads_to(route: dict[str, Any], path: str) -> bool:
    """Whether a plain GET of this path matches; a route that asks for more than a path is none."""
    match = route["match"]
    if match["host"] or match["headers"] or match["query"] or match["cookies"] or "GET" not in (match["methods"] or ["GET"]):
        return False
    if match["path_operator"] == "exact":
        return path == match["path"]
    if match["path_operator"] == "prefix":
        return path == match["path"] or path.startswith(match["path"].rstrip("/") + "/")
    return not match["path"]


def cookie_of(reply: Reply, name: str) -> str:
    for line in reply.headers.get("set-cookie", "").splitlines():
        pair = line.partition(";")[0].strip()
        if pair.startswith(f"{name}="):
            return pair
    return ""


def settled(instance: Instance, before: dict[str, dict[str, int]], sent: int) -> dict[str, dict[str, int]]:
    """What was counted since, once it is all there or stays less."""
    found: dict[str, dict[str, int]] = {}

    def is_all() -> bool:
        nonlocal found
        found = risen(before, instance.counts())
        return sum(sum(each.values()) for each in found.values()) >= sent

    wait_for(is_all)
    return found


def settle(instance: Instance) -> None:
    """Until two looks see the same."""
    last = [instance.counts()]

    def is_same() -> bool:
        time.sleep(0.2)
        last.append(instance.counts())
        return last[-1] == last[-2]

    wait_for(is_same)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def total(samples: dict[str, list[tuple[dict[str, str], float]]], name: str) -> float:
    return sum(value for _, value in samples.get(name, []))


def status_of(reply: Reply | Unreachable) -> int:
    return reply.status if isinstance(reply, Reply) else 0


def short(reply: Reply) -> str:
    return " ".join(reply.text.split())[:120]
