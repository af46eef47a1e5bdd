"""What is shared with other machines through Redis: sessions and rate limits."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, Definition

_SESSIONS: Final = "where sessions are in Redis"
_LIMITS: Final = "where rate limits are shared"

UP: Final = Definition(
    "balance_redis_up", GAUGE, (), "1 when every worker can ask Redis.", "0: redis.on_failure decides meanwhile.", _SESSIONS
)
WRITABLE: Final = Definition(
    "balance_redis_writable", GAUGE, (), "1 when every worker can write there.", "0 with up 1: it is a replica.", _SESSIONS
)
LOOKUPS: Final = Definition(
    "balance_redis_lookups_total", COUNTER, (), "Sessions that were asked for in Redis.",
    "Many: clients move between machines.", _SESSIONS,
)  # fmt: skip
ERRORS: Final = Definition(
    "balance_redis_errors_total", COUNTER, (), "Commands that Redis refused or did not answer in time.",
    "Its log, its load, redis.timeout.", _SESSIONS,
)  # fmt: skip
WRITES_LOST: Final = Definition(
    "balance_redis_writes_lost_total", COUNTER, (), "Sessions that were not written to Redis, as too many waited.",
    "Redis is too slow for so many new sessions.", _SESSIONS,
)  # fmt: skip
LIMITS_UP: Final = Definition(
    "balance_rate_limit_store_up", GAUGE, (), "1 when every worker shares its rate limits with other machines.",
    "0: redis.on_failure decides meanwhile.", _LIMITS,
)  # fmt: skip
EXCHANGES: Final = Definition(
    "balance_rate_limit_exchanges_total", COUNTER, (), "Batches in which machines told each other of their limits.",
    "Stands still under traffic: see balance_rate_limit_store_up.", _LIMITS,
)  # fmt: skip
EXCHANGED_KEYS: Final = Definition(
    "balance_rate_limit_exchanged_keys_total", COUNTER, (), "Keys in those batches.", "Load on Redis.", _LIMITS
)
EXCHANGE_ERRORS: Final = Definition(
    "balance_rate_limit_exchange_errors_total", COUNTER, (), "Batches that Redis refused or did not answer in time.",
    "Its log, its load, redis.timeout.", _LIMITS,
)  # fmt: skip
UNSHARED: Final = Definition(
    "balance_rate_limit_unshared_requests_total", COUNTER, (),
    "Requests that were counted on their own machine alone, as too many keys waited.",
    "More clients than Redis keeps up with.", _LIMITS,
)  # fmt: skip

DEFINITIONS: Final = (
    UP, WRITABLE, LOOKUPS, ERRORS, WRITES_LOST, LIMITS_UP, EXCHANGES, EXCHANGED_KEYS, EXCHANGE_ERRORS, UNSHARED,
)  # fmt: skip
