"""When a client is told that its connection ends."""

from __future__ import annotations

from balance.proxy.http2.departure import LATE_S, MOST_S, QUIET_S, Departure


def test_quiet_is_when_no_request_has_come_since_the_last_look() -> None:
    departure = Departure(7, 100.0)
    assert not departure.is_quiet(9, 100.0 + QUIET_S, is_full=False)
    assert not departure.is_quiet(15, 100.0 + 2 * QUIET_S, is_full=False)
    assert departure.is_quiet(15, 100.0 + 3 * QUIET_S, is_full=False)


def test_client_that_has_asked_nothing_since_is_quiet_at_the_first_look() -> None:
    assert Departure(7, 100.0).is_quiet(7, 100.0 + QUIET_S, is_full=False)


def test_client_that_has_all_streams_open_may_have_requests_that_wait_for_one() -> None:
    departure = Departure(7, 100.0)
    assert not departure.is_quiet(7, 100.0 + QUIET_S, is_full=True)
    assert departure.is_quiet(7, 100.0 + 2 * QUIET_S, is_full=False)
    assert Departure(7, 100.0).is_quiet(7, 100.0 + MOST_S, is_full=True)


def test_who_never_is_quiet_is_waited_for_so_long() -> None:
    departure = Departure(7, 100.0)
    assert not departure.is_quiet(9, 99.0 + MOST_S, is_full=False)
    assert departure.is_quiet(11, 100.0 + MOST_S, is_full=False)


def test_end_of_a_burst_will_do_after_a_while() -> None:
    departure = Departure(7, 100.0)
    assert not departure.ends_burst(27, 100.0 + LATE_S / 2)
    assert departure.ends_burst(47, 100.0 + LATE_S)


def test_answer_that_is_out_before_the_other_requests_are_in_ends_no_burst() -> None:
    departure = Departure(7, 100.0)
    departure.ends_burst(27, 100.0)
    assert not departure.ends_burst(29, 100.0 + LATE_S)
    assert not departure.ends_burst(47, 100.0 + LATE_S)  # the rest of it: 18, of 20
    assert departure.ends_burst(67, 100.0 + LATE_S)
