"""Wrong tokens take a bounded part of a worker's time, and of one client a bounded number."""

from __future__ import annotations

from balance.security.failed_checks import BURST, MAX_CLIENTS, SHARE, SHARE_BURST_S, FailedChecks


def test_one_client_fails_so_often_and_nobody_else_is_held_up() -> None:
    checks = FailedChecks()
    done = 0
    while checks.may_check(b"a", 100.0):
        checks.failed(b"a", 0.0, 100.0)
        done += 1
    assert done == BURST
    assert checks.may_check(b"b", 100.0)
    assert not checks.may_check(b"a", 100.05)
    assert checks.may_check(b"a", 100.11)  # ten a second
    assert checks.may_check(b"a", 1e9)


def test_all_together_take_a_share_of_the_time() -> None:
    checks, now, spent, cost = FailedChecks(), 1000.0, 0.0, 0.001
    checks.failed(b"x", 0.0, now)
    for number in range(40_000):
        client = b"%d" % number
        if checks.may_check(client, now):
            checks.failed(client, cost, now)
            spent += cost
        now += 0.0001  # in 4 seconds
    assert spent <= SHARE_BURST_S + 4.0 * SHARE + cost
    assert spent >= 4.0 * SHARE


def test_clients_are_bounded() -> None:
    checks = FailedChecks()
    for number in range(MAX_CLIENTS + 100):
        assert checks.may_check(b"%d" % number, 1.0)
        checks.failed(b"%d" % number, 0.0, 1.0)
    assert len(checks._clients) == MAX_CLIENTS
    for number in range(100_000):  # who asks and does not fail leaves nothing
        checks.may_check(b"n%d" % number, 1.0)
    assert len(checks._clients) == MAX_CLIENTS
