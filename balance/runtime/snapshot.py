"""All that a worker serves with, built from one configuration and never changed: a reload builds another snapshot beside it.

The slow part is prepare(), which may run on a thread while the previous snapshot is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial

from balance.access_lists.access_lists import AccessLists
from balance.balancing import POLICIES
from balance.config.model import (
    BackendConfig,
    Config,
    ConnectionProtection,
    HashKey,
    HttpConfig,
    ListenerConfig,
    PoolConfig,
    ProxyProtocol,
    SessionCookie,
    Timeouts,
    TrustedProxy,
)
from balance.config.route_model import PoolUse, RouteConfig
from balance.load import Load
from balance.model import Address, Counted, Mode
from balance.retry.decision import RetryPolicy
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.backend_slots import LISTENER, route_key, route_keys, rule_identities
from balance.runtime.backups import Backups
from balance.runtime.health_gate import Shared
from balance.runtime.pool import Pool
from balance.runtime.pool_health import PoolHealth, needs_health
from balance.runtime.pool_limits import PoolLimits, has_limits
from balance.runtime.routes import Router, Routers, Target
from balance.runtime.row import Row
from balance.runtime.sessions.affinity import Affinity
from balance.stages.environment import NO_MOMENT, Moment, StageEnvironment
from balance.tls.backend_context import BackendContexts, UpstreamTls
from balance.tls.server_names import ServerNames


@dataclass(frozen=True, slots=True)
class Listener:
    """The addresses that clients connect to, with the mode and settings by which they are served."""

    name: str
    addresses: tuple[Address, ...]
    mode: Mode
    pool: Pool
    timeouts: Timeouts
    http: HttpConfig
    trusted_proxies: tuple[TrustedProxy, ...]
    client_address: str = "xff"  # the fields in which trusted proxies give the client's address
    cookie: SessionCookie | None = None  # the session cookie; None where sessions need none
    retrying: RetryPolicy | None = None  # the pool's; None where retries are off
    router: Router | None = None  # None: every request goes to the pool as it is
    max_clients: int = 0  # client connections at once, over all workers; 0 is no limit
    slot: int = 0  # its block on the board; 0 for none
    has_tls: bool = False
    verifies_clients: bool = False  # by their certificates
    sni: ServerNames[Listener] | None = None  # by the name that a client asks for, where TLS passes through
    sni_timeout_s: float = 0.0  # for the ClientHello
    access_lists: AccessLists = field(default_factory=AccessLists)
    proxy_protocol: ProxyProtocol = field(default_factory=ProxyProtocol)
    protection: ConnectionProtection = field(default_factory=ConnectionProtection)


@dataclass(frozen=True, slots=True)
class Snapshot:
    config: Config
    slots: Mapping[tuple[str, str], int]
    listeners: tuple[Listener, ...]
    pools: Mapping[str, Pool]
    backends: Mapping[int, tuple[Pool, Backend]]  # by slot
    retrying: Mapping[str, RetryPolicy]  # by pool; those of a route's own by listener/route/pool


@dataclass(frozen=True, slots=True)
class Renewal:
    """A pool that is new or has changed, with the settings to apply to its backends before it is live."""

    pool: Pool
    config: PoolConfig
    settings: tuple[tuple[Backend, BackendConfig, float | None, UpstreamTls | None], ...]

    def apply(self) -> None:
        """Make the pool live. Call it on the worker's loop."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """The same in short steps, so that the loop can turn in between; prepare() has done the slow part."""
        for backend, config, idle_timeout_s, tls in self.settings:
            backend.configure(config, idle_timeout_s, self.config.proxy_protocol.version, tls)
            if backend.health is not None:
                backend.health.configure(self.config.breaker, self.config.health_check.passive)
            yield
        self.pool.rebuild()
        yield


def backend_slots(config: Config) -> dict[tuple[str, str], int]:
    """The slots of each (pool, backend), (LISTENER, listener), route and rule at a first start. Slot 0 is for no backend."""
    names = [(pool.name, backend.name) for pool in config.pools for backend in pool.backends]
    names += [(LISTENER, listener.name) for listener in config.listeners]
    names += route_keys(config)
    names += [identity[:2] for identity in rule_identities(config)]
    return {name: slot for slot, name in enumerate(names, start=1)}


def build(
    config: Config,
    slots: Mapping[tuple[str, str], int],
    row: Row,
    rand: Callable[[], float],
    shared: Shared | None = None,
    moment: Moment = NO_MOMENT,
    contexts: BackendContexts | None = None,
) -> Snapshot:
    """Make the live objects of a validated configuration. `row` is this worker's; `rand` returns a float in [0, 1).

    `shared` is what the processes of the instance share, None for a process by itself. `contexts` likewise: those of TLS to
    backends that were made before the fork.
    """
    snapshot, renewals = prepare(config, slots, row, rand, shared, moment=moment, contexts=contexts)
    for renewal in renewals:
        renewal.apply()
    return snapshot


def prepare(
    config: Config,
    slots: Mapping[tuple[str, str], int],
    row: Row,
    rand: Callable[[], float],
    shared: Shared | None = None,
    previous: Snapshot | None = None,
    leaving: Iterable[Backend] = (),
    moment: Moment = NO_MOMENT,
    contexts: BackendContexts | None = None,
) -> tuple[Snapshot, list[Renewal]]:
    """As build(), beside the `previous` snapshot, which is still served and is not changed. What is in both is shared.

    An unchanged pool is the same Pool. In a changed pool a backend with the same slot is the same Backend, with its leases,
    parked connections, breaker and learned values. So is a removed backend that comes back while it is still in use: those are
    `leaving`. Apply the renewals, in any order, before the snapshot is used.
    """
    shared = shared or Shared.with_nobody(row.cells)
    idle_timeouts = {  # the same in all HTTP listeners of a pool; TCP mode parks no connections
        pool: listener.http.keepalive.idle_timeout_s
        for listener in config.listeners
        if listener.mode is Mode.HTTP
        for pool in listener.pools
    }
    contexts = contexts or BackendContexts(config)
    living = {backend.slot: backend for backend in leaving}
    if previous is not None:
        living |= {slot: backend for slot, (_, backend) in previous.backends.items()}
    configured = {pool.name: pool for pool in previous.config.pools} if previous is not None else {}
    pools: dict[str, Pool] = {}
    retrying: dict[str, RetryPolicy] = {}
    renewals = []
    for pool in config.pools:
        if pool.retry.enabled:
            known = configured.get(pool.name)
            if previous is not None and known is not None and known.retry == pool.retry and _share_alike(previous, config):
                retrying[pool.name] = previous.retrying[pool.name]
            else:
                retrying[pool.name] = RetryPolicy(pool.retry, config.workers, rand)
        idle_s = idle_timeouts.get(pool.name)
        if previous is not None and configured.get(pool.name) == pool and _is_same(previous.pools[pool.name], idle_s, slots):
            pools[pool.name] = previous.pools[pool.name]
            continue
        backends = []
        settings = []
        for each in pool.backends:
            slot = slots[pool.name, each.name]
            backend = living.get(slot)
            is_alike = backend is not None and (backend.protocol or "http1") == each.protocol
            tls = contexts.of(pool, each, backend.tls if backend is not None and is_alike else None)
            if backend is None:
                backend = Backend(each, slot, idle_s, pool.proxy_protocol.version, tls, pool.name)
            else:
                settings.append((backend, each, idle_s, tls))
            backends.append(backend)
        made = _pool(pool, backends, row, rand, shared)
        before = previous.pools.get(pool.name) if previous is not None else None
        if made.limits is not None and before is not None and before.queue is not None:
            made.limits.succeed(before.queue)
        if settings:  # the backends' own loads still have the weights of the previous snapshot
            made.prebuild(
                [Load(each.weight, identity=each.name.encode()) for each in pool.backends if each.weight and not each.backup]
            )
        pools[pool.name] = made
        renewals.append(Renewal(made, pool, tuple(settings)))

    by_name = {pool.name: pool for pool in config.pools}

    protections = {listener.name: listener.protection for listener in config.listeners}

    def target(listener: str, route: RouteConfig, use: PoolUse) -> Target:
        pool = by_name[use.pool]
        policy = retrying.get(use.pool)
        if use.retry != pool.retry:
            key = f"{listener}/{route.name}/{use.pool}"
            known = previous.retrying.get(key) if previous is not None else None
            if not use.retry.enabled:
                policy = None
            elif known is not None and known.retry == use.retry and previous is not None and _share_alike(previous, config):
                policy = retrying[key] = known
            else:
                policy = retrying[key] = RetryPolicy(use.retry, config.workers, rand)
        timeouts = protections[listener].bounded(use.timeouts)
        return Target(pools[use.pool], timeouts, _cookie(pool), policy, use.buffering, _own_algorithm(route, pool))

    regions = frozenset(backend.region for pool in config.pools for backend in pool.backends if backend.region)

    buckets = cache(shared.buckets)

    def environment(listener: ListenerConfig) -> StageEnvironment:
        def limited(route: str) -> Callable[[bool], None]:
            slot = slots.get(route_key(listener.name, route), 0) or slots.get((LISTENER, listener.name), 0)
            return partial(_count_limited, row.cells, counters.block(slot))

        return StageEnvironment(
            listener.name,
            listener.http,
            listener.http.routes,
            rand,
            made=moment,
            regions=regions,
            clock=shared.clock,
            buckets=buckets,
            moved=shared.moved,
            key_set=shared.key_set,
            limited=limited,
            count=partial(_count_of_stage, row.cells),
        )

    in_use = [] if previous is None else [(each.name, each.router) for each in previous.listeners if each.router is not None]
    routers = Routers(slots, target, environment, in_use)
    nowhere = Pool("", (), "round-robin", POLICIES["round-robin"](rand), row)  # of a listener whose routes lead to no pool
    listeners = tuple(
        Listener(
            name=listener.name,
            addresses=listener.addresses,
            mode=listener.mode,
            pool=pools[listener.pool] if listener.pool else nowhere,
            timeouts=listener.protection.bounded(listener.timeouts),
            http=listener.http,
            trusted_proxies=config.trusted_proxies,
            client_address=config.client_address,
            cookie=_cookie(config.pool(listener.pool)) if listener.pool else None,
            retrying=retrying.get(listener.pool),
            router=routers.router(listener) if listener.mode is Mode.HTTP else None,
            max_clients=listener.max_clients,
            slot=slots.get((LISTENER, listener.name), 0),
            has_tls=listener.tls.enabled,
            verifies_clients=listener.tls.enabled and listener.tls.verifies_clients,
            sni_timeout_s=listener.tls.handshake_timeout_s,
            access_lists=listener.access_lists,
            proxy_protocol=listener.proxy_protocol,
            protection=listener.protection,
        )
        for listener in config.listeners
    )
    listeners = tuple(
        _with_sni(listener, each, pools, retrying) for listener, each in zip(listeners, config.listeners, strict=True)
    )
    backends_by_slot = {backend.slot: (pool, backend) for pool in pools.values() for backend in pool.backends}
    return Snapshot(config, slots, listeners, pools, backends_by_slot, retrying), renewals


def _with_sni(
    listener: Listener, config: ListenerConfig, pools: Mapping[str, Pool], retrying: Mapping[str, RetryPolicy]
) -> Listener:
    if not config.sni_routes:
        return listener
    routes = {
        route.name: replace(listener, pool=pools[route.pool], retrying=retrying.get(route.pool), timeouts=route.timeouts)
        for route in config.sni_routes
    }
    return replace(listener, sni=ServerNames(routes))


def _pool(config: PoolConfig, backends: list[Backend], row: Row, rand: Callable[[], float], shared: Shared) -> Pool:
    """A pool that is not live yet, with the layers that its configuration needs."""
    policy = POLICIES[config.algorithm]
    backups = [backend for backend, each in zip(backends, config.backends, strict=True) if each.backup]
    return Pool(
        config.name,
        backends,
        config.algorithm,
        policy(rand),
        row,
        config.hash_key,
        health=PoolHealth(config, backends, row, shared) if needs_health(config) else None,
        limits=PoolLimits(config, backends, row, shared) if has_limits(config) else None,
        affinity=Affinity(config, backends, row, shared) if config.affinity.enabled else None,
        backups=Backups(backups, policy(rand)) if backups else None,
        is_live=False,
    )


def _count_of_stage(cells: memoryview, what: Counted, number: int) -> None:
    cells[counters.STAGE_COUNTS + what] += number


def _count_limited(cells: memoryview, block: int, is_refused: bool) -> None:
    cells[block + (counters.RATE_LIMITED if is_refused else counters.RATE_REPORTED)] += 1


def _cookie(pool: PoolConfig) -> SessionCookie | None:
    affinity = pool.affinity
    return affinity.cookie if affinity.enabled and affinity.mode in ("cookie", "redis") else None


def _share_alike(previous: Snapshot, config: Config) -> bool:
    """Whether each worker's part of a retry budget is the same as before: the number of workers is."""
    return previous.config.workers == config.workers


def _own_algorithm(route: RouteConfig, pool: PoolConfig) -> tuple[str, HashKey] | None:
    """The algorithm and the key by which the route's requests are balanced over the pool; None where they are the pool's."""
    inherited = HashKey() if route.algorithm == "source-ip" else pool.hash_key
    own = route.algorithm or pool.algorithm, route.hash_key or inherited
    return own if own != (pool.algorithm, pool.hash_key) else None


def _is_same(pool: Pool, idle_s: float | None, slots: Mapping[tuple[str, str], int]) -> bool:
    """Whether the pool's settings from outside its own section are the same as before: slots and idle timeout."""
    return all(
        backend.slot == slots[pool.name, backend.name] and backend.idle_time.configured_s == idle_s for backend in pool.backends
    )
