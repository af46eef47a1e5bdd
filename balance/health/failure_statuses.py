"""Which failures and response statuses count as failures of a backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from balance.model import BACKEND_TLS, Why

# As in HAProxy, 501 and 505 are about the request; every other 5xx counts for policies that use latency or failures. 4xx never
# counts: a client with bad requests could take backends down.
REQUEST_ERRORS: Final = frozenset((501, 505))

# The failures of each keyword of `passive_checks.count`.
KINDS: Final[dict[str, frozenset[Why]]] = {
    "connect": frozenset((Why.CONNECT_REFUSED, Why.CONNECT_TIMEOUT, Why.CONNECT_FAILED)) | BACKEND_TLS,
    "reset": frozenset((Why.RESET_BEFORE_RESPONSE, Why.RESET_ON_REUSE)),
    "broken": frozenset((Why.RESET_MID_RESPONSE, Why.BAD_RESPONSE)),
    "timeout": frozenset((Why.RESPONSE_HEADER_TIMEOUT, Why.RESPONSE_IDLE, Why.TOTAL_TIMEOUT)),
}


def is_success(status: int) -> bool:
    """Whether a final status counts as a success for balancing policies."""
    return status < 500 or status in REQUEST_ERRORS


def failure_outcomes(words: Iterable[str | int]) -> frozenset[int]:
    """The request outcomes that count as failures: statuses, and each Why of a kind. Their numbers do not overlap."""
    ends: set[int] = {0}  # a failure without details
    for word in words:
        ends |= {word} if isinstance(word, int) else KINDS[word]
    return frozenset(ends)
