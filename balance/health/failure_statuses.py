"""What speaks against a backend: which failures, and which statuses of a reply."""

from __future__ import annotations

from collections.abc import Iterable

from balance.model import Why

# HAProxy's rule: 501 and 505 speak about the request. Every other 5xx says that a backend is unwell to policies that choose by
# how it fares. 4xx never does: whoever asks for nonsense would take the backends down.
ABOUT_THE_REQUEST = frozenset((501, 505))

# How a use of a backend that failed is told, by the words of `passive_checks.count`.
KINDS: dict[str, frozenset[Why]] = {
    "connect": frozenset((Why.CONNECT_REFUSED, Why.CONNECT_TIMEOUT, Why.CONNECT_FAILED)),
    "reset": frozenset((Why.RESET_BEFORE_RESPONSE, Why.RESET_ON_REUSE)),
    "broken": frozenset((Why.RESET_MID_RESPONSE, Why.BAD_RESPONSE)),
    "timeout": frozenset((Why.RESPONSE_HEADER_TIMEOUT, Why.RESPONSE_IDLE, Why.TOTAL_TIMEOUT)),
}


def is_good(status: int) -> bool:
    """Whether a final status says nothing against the backend, for a policy that learns from it."""
    return status < 500 or status in ABOUT_THE_REQUEST


def counted(words: Iterable[str | int]) -> frozenset[int]:
    """The ends of a request that are evidence against its backend: statuses, and each Why of a kind. The two never meet."""
    ends: set[int] = {0}  # a failure of which nothing more is known
    for word in words:
        ends |= {word} if isinstance(word, int) else KINDS[word]
    return frozenset(ends)
