"""Which statuses of a reply speak against the backend that sent it."""

from __future__ import annotations

# HAProxy's rule: 501 and 505 speak about the request. Every other 5xx counts, 500 too: where a bug in one page of many fails
# its requests, the others' successes break the run and thin the rate; where all fail, it does not matter by which number.
# 4xx never counts: whoever asks for nonsense would take the backends down.
ABOUT_THE_REQUEST = frozenset((501, 505))


def is_good(status: int) -> bool:
    """Whether a final status says nothing against the backend."""
    return status < 500 or status in ABOUT_THE_REQUEST
