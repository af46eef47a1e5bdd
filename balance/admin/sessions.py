"""The /sessions document: how each pool keeps sessions, how many began at each backend, the store, and one by its id."""

from __future__ import annotations

import re
from typing import Any

from starlette.exceptions import HTTPException

from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.config.model import Config, PoolConfig
from balance.config.overrides.value_format import redact_text
from balance.config.schema.units import format_duration
from balance.runtime import counters
from balance.shared_store.failures import Failure, StoreError, StoreState
from balance.shared_store.session_format import SessionFormat

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_LOOK_UP_S = 1.0  # an operator's look-up may take longer than a request's


def sessions(view: StateView) -> dict[str, Any]:
    """The document without a session."""
    totals = Totals(view.board.rows)
    return {"redis": store(view), "pools": [_pool(pool, view, totals) for pool in view.config.pools if pool.affinity.enabled]}


def store(view: StateView) -> dict[str, Any] | None:
    """How the store stands: the worst of the workers. None where none is configured and used."""
    config = view.config
    if not uses_store(config):
        return None
    totals = Totals(view.board.rows)
    state, failure = worst_state(view)
    return {
        "state": state.word,
        "reason": failure.text or None,
        "url": redact_text(config.redis.url),
        "on_failure": config.redis.on_failure,
        "lookups": totals.cell(counters.STORE_LOOKUPS),
        "errors": totals.cell(counters.STORE_ERRORS),
        "writes_lost": totals.cell(counters.STORE_WRITES_LOST),
    }


def uses_store(config: Config) -> bool:
    """Whether traffic uses Redis."""
    return bool(config.redis.url) and any(pool.affinity.enabled and pool.affinity.mode == "redis" for pool in config.pools)


def worst_state(view: StateView) -> tuple[StoreState, Failure]:
    """The worst state of the store in a living worker, and the reason."""
    rows = [row for row in view.board.rows if row[counters.PLACE] and row[counters.STORE_STATE]]
    if not rows:
        return StoreState.CONNECTING, Failure.NONE
    row = max(rows, key=lambda row: row[counters.STORE_STATE])
    return StoreState(row[counters.STORE_STATE]), Failure(row[counters.STORE_FAILURE])


async def session(view: StateView, wanted: str) -> dict[str, Any]:
    """One session, from Redis. HTTPException when there is none, or it can't be asked."""
    config = view.config.redis
    if not uses_store(view.config):
        raise HTTPException(404, "sessions are looked up by id where they are in Redis: session_affinity.mode redis, redis.url")
    if not _ID.fullmatch(wanted):
        raise HTTPException(404, f"{wanted[:40]!r} is no session's id: 22 letters, digits, - and _, as in the cookie")
    from balance.shared_store.redis_connection import ErrorReply, open_connection  # by the first who asks

    key = SessionFormat(config.prefix).key(wanted.encode())
    try:
        connection = await open_connection(config.url, _LOOK_UP_S)
        try:
            values, expires_ms = await connection.run([("HGETALL", key), ("PTTL", key)])
        finally:
            connection.close()
    except StoreError as error:
        raise HTTPException(503, f"Redis can't be asked: {error}") from None
    for reply in (values, expires_ms):
        if isinstance(reply, ErrorReply):
            raise HTTPException(503, f"Redis refuses: {reply}")
    if not values:
        raise HTTPException(404, f"no session has the id {wanted!r}")
    names = [value.decode("utf-8", "replace") for value in values]
    return {
        "id": wanted,
        "pools": dict(zip(names[::2], names[1::2], strict=True)),
        "expires_in_seconds": round(expires_ms / 1000, 3) if expires_ms >= 0 else None,
    }


def _pool(pool: PoolConfig, view: StateView, totals: Totals) -> dict[str, Any]:
    affinity = pool.affinity
    has_cookie = affinity.mode in ("cookie", "redis")
    return {
        "name": pool.name,
        "mode": affinity.mode,
        "kept_in": kept_in(pool, view.config),
        "cookie": affinity.cookie.name if has_cookie else None,
        "ttl": format_duration(affinity.cookie.ttl_s if affinity.mode == "cookie" else affinity.ttl_s),
        "backends": [
            {
                "name": backend.name,
                "began": totals.cell(counters.block(view.slots[pool.name, backend.name]) + counters.SESSIONS),
            }
            for backend in pool.backends
        ],
    }


def kept_in(pool: PoolConfig, config: Config) -> str:
    """Where a pool's sessions are: in the cookie itself, in Redis, or in this instance's memory."""
    if pool.affinity.mode == "cookie":
        return "cookie"
    return "redis" if pool.affinity.mode == "redis" and config.redis.url else "memory"
