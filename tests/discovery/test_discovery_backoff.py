"""Pauses grow, are bounded, and differ."""

from __future__ import annotations

from balance.discovery.backoff import FIRST_S, MAX_S, Backoff


def test_pauses() -> None:
    for rand, share in ((0.0, 0.5), (1.0, 1.0)):
        backoff = Backoff(lambda rand=rand: rand)  # type: ignore[misc]
        pauses = [backoff.next_s() for _ in range(2000)]
        assert pauses[:3] == [FIRST_S * share, 2 * FIRST_S * share, 4 * FIRST_S * share]
        assert pauses[-1] == MAX_S * share and backoff.failures == 2000
        backoff.reset()
        assert backoff.next_s() == FIRST_S * share
