"""A relay between two fake transports: what each side does, the other sees, and the account is closed once."""

import os
from time import monotonic

import pytest
from fakes import FakeTransport
from hypothesis import given
from hypothesis import strategies as st
from observed import Observed

from balance.model import Why
from balance.proxy.net.timer_wheel import TimerWheel
from balance.proxy.tcp.relay import Relay, RelayEnd


class Joined:
    """Two ends, each on its transport, and the relay between them once `join` was called."""

    def __init__(self) -> None:
        self.client, self.upstream = FakeTransport(), FakeTransport()
        self.ends = RelayEnd(), RelayEnd()
        for end, transport in zip(self.ends, (self.client, self.upstream), strict=True):
            transport.protocol = end
            end.connection_made(transport)
        self.account = Observed()
        self.wheel = TimerWheel(0.0)

    def join(self, idle_s: float = 60.0, half_closed_s: float = 0.0, now: float = 0.0) -> "Joined":
        self.relay = Relay(*self.ends, self.wheel, idle_s, half_closed_s, self.account, now)
        return self

    @property
    def watched(self) -> int:
        return sum(len(bucket) for bucket in self.wheel._buckets.values())


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=50)), max_size=40), st.integers(0, 40))
def test_any_chunks_pass_in_order_whenever_the_two_are_joined(chunks: list[tuple[bool, bytes]], joined_after: int) -> None:
    joined = Joined()
    expected = [b"", b""]
    for number, (is_upstream, data) in enumerate(chunks):
        if number == joined_after:
            joined.join()
        joined.ends[is_upstream].data_received(data)
        expected[is_upstream] += data
    if joined_after >= len(chunks):
        joined.join()
    assert [joined.upstream.written, joined.client.written] == expected
    joined.relay._count()
    assert joined.account.bytes == (len(expected[0]), len(expected[1]))


def test_first_bytes_before_there_is_a_peer_stop_reading() -> None:
    joined = Joined()
    joined.ends[0].data_received(b"x")
    assert not joined.client.is_reading_now
    joined.join()
    assert joined.client.is_reading_now
    assert joined.upstream.written == b"x"


def test_early_bytes_that_fill_the_peer_leave_reading_stopped() -> None:
    joined = Joined()
    joined.upstream.takes_all = False
    joined.ends[0].data_received(b"x" * 100_000)
    joined.join()
    assert not joined.client.is_reading_now
    joined.upstream.drain()
    assert joined.client.is_reading_now


def test_end_that_was_full_before_keeps_the_other_from_reading() -> None:
    """A client that has not taken the reply before its 101 yet."""
    joined = Joined()
    joined.ends[0].is_full = True
    joined.join()
    assert not joined.upstream.is_reading_now
    assert joined.client.is_reading_now
    joined.ends[0].resume_writing()
    assert joined.upstream.is_reading_now


def test_peer_that_takes_nothing_stops_the_other_until_it_does() -> None:
    joined = Joined().join()
    joined.client.takes_all = False
    joined.ends[1].data_received(b"x" * 70_000)
    assert not joined.upstream.is_reading_now
    assert joined.client.is_reading_now
    joined.client.drain(60_000)
    assert not joined.upstream.is_reading_now
    joined.client.drain()
    assert joined.upstream.is_reading_now


@pytest.mark.parametrize("first", [0, 1])
def test_one_end_is_passed_on_and_the_second_closes_both(first: int) -> None:
    joined = Joined().join()
    transports = (joined.client, joined.upstream)
    assert joined.ends[first].eof_received() is True  # our side stays open
    assert transports[1 - first].ends == ["eof"]
    assert transports[first].ends == []
    joined.ends[1 - first].data_received(b"still")
    assert transports[first].written == b"still"
    joined.ends[1 - first].eof_received()
    assert [transport.is_closing() for transport in transports] == [True, True]
    for transport in transports:
        transport.lose()
    assert joined.account.whys == [Why.OK]
    assert joined.watched == 0


def test_end_that_came_before_the_join_is_passed_on_after_the_bytes() -> None:
    joined = Joined()
    joined.ends[1].data_received(b"bye")
    joined.ends[1].eof_received()
    joined.join()
    assert (joined.client.written, joined.client.ends) == (b"bye", ["eof"])


def test_both_ends_before_the_join_close_both() -> None:
    joined = Joined()
    for end in joined.ends:
        end.data_received(b"bye")
        end.eof_received()
    joined.join()
    assert (joined.client.written, joined.upstream.written) == (b"bye", b"bye")
    assert joined.client.is_closing() and joined.upstream.is_closing()


@pytest.mark.parametrize(("lost", "why"), [(0, Why.CLIENT_ABORT), (1, Why.RESET_MID_RESPONSE)])
def test_reset_of_one_is_a_reset_of_the_other(lost: int, why: Why) -> None:
    joined = Joined().join()
    transports = (joined.client, joined.upstream)
    transports[lost].lose(ConnectionResetError())
    assert transports[1 - lost].was_reset
    assert joined.account.whys == []  # not over before the other is gone too
    transports[1 - lost].lose()
    assert joined.account.whys == [why]
    assert joined.watched == 0


def test_loss_before_the_join_ends_the_other() -> None:
    joined = Joined()
    joined.upstream.lose(ConnectionResetError())
    joined.join()
    assert joined.client.was_reset
    joined.client.lose()
    assert joined.account.whys == [Why.RESET_MID_RESPONSE]


def test_backend_that_said_its_last_and_breaks_is_not_to_blame() -> None:
    joined = Joined().join()
    joined.ends[1].data_received(b"answer")
    joined.ends[1].eof_received()
    joined.upstream.lose(BrokenPipeError())
    assert not joined.client.was_reset
    assert joined.client.ends == ["eof", "close"]
    joined.client.lose()
    assert joined.account.whys == [Why.OK]


def test_client_that_ended_and_takes_no_more_has_aborted() -> None:
    joined = Joined().join()
    joined.ends[0].eof_received()
    joined.client.lose(BrokenPipeError())
    joined.upstream.lose()
    assert joined.account.whys == [Why.CLIENT_ABORT]


def test_bytes_for_a_peer_that_is_gone_are_dropped() -> None:
    joined = Joined().join()
    joined.upstream.lose(ConnectionResetError())
    joined.ends[0].data_received(b"late")
    joined.ends[0].eof_received()
    assert joined.upstream.written == b""


def test_silence_is_cut_and_activity_is_not() -> None:
    joined = Joined().join(idle_s=8.0)
    now = 0.0
    for _ in range(30):
        now += 1.0
        joined.ends[0].data_received(b".")
        joined.relay.expire(now)
    assert not joined.client.is_closing()
    for _ in range(7):
        now += 1.0
        joined.relay.expire(now)
    assert not joined.client.is_closing()
    joined.relay.expire(now + 1.0)
    assert joined.client.was_reset and joined.upstream.was_reset
    joined.client.lose()
    joined.upstream.lose()
    assert joined.account.whys == [Why.IDLE_TIMEOUT]


def test_peer_that_takes_what_waits_is_active() -> None:
    joined = Joined().join(idle_s=8.0)
    joined.client.takes_all = False
    joined.ends[1].data_received(b"x" * 60_000)
    for now in range(1, 40):
        joined.client.drain(1000)
        joined.relay.expire(float(now))
    assert not joined.client.is_closing()


@pytest.mark.parametrize(
    ("idle_s", "half_closed_s", "cut_after_s"),
    [
        (3600.0, 0.0, 3600.0),  # off: as long as any other silence
        (3600.0, 5.0, 5.0),
        (3.0, 5.0, 3.0),  # the shorter one
        (0.0, 5.0, 5.0),
        (0.0, 0.0, None),
    ],
)
def test_half_closed_relay_is_cut_when_it_says_nothing(idle_s: float, half_closed_s: float, cut_after_s: float | None) -> None:
    now = monotonic()
    joined = Joined().join(idle_s, half_closed_s, now - 2 * 3600)  # its end is something said after a long silence
    joined.ends[0].eof_received()
    joined.relay.expire(now + (cut_after_s or 7200.0) - 1.0)
    assert not joined.client.is_closing()
    joined.relay.expire(now + (cut_after_s or 7200.0) + 1.0)
    assert joined.client.was_reset is joined.upstream.was_reset is (cut_after_s is not None)


def test_half_closed_relay_whose_other_side_goes_on_is_never_cut() -> None:
    now = monotonic()
    joined = Joined().join(3600.0, 4.0, now)
    joined.ends[0].eof_received()
    for second in range(1, 60):
        joined.ends[1].data_received(b".")
        joined.relay.expire(now + second)
    assert not joined.client.is_closing()
    joined.relay.expire(now + 70.0)
    assert joined.client.was_reset


def test_cut_also_ends_what_is_closing_and_not_taken() -> None:
    joined = Joined().join()
    joined.client.takes_all = False
    joined.ends[1].data_received(b"x" * 1000)
    joined.ends[1].eof_received()
    joined.ends[0].eof_received()
    joined.upstream.lose()
    joined.relay.cut(Why.DRAINING)
    assert joined.client.was_reset
    joined.client.lose()
    assert joined.account.whys == [Why.DRAINING]


def test_account_is_closed_once_whatever_is_called() -> None:
    joined = Joined().join()
    joined.relay.cut(Why.DRAINING)
    joined.relay.cut(Why.IDLE_TIMEOUT)
    joined.client.lose(OSError())
    joined.upstream.lose(OSError())
    joined.relay.lost(joined.ends[0], None)
    joined.relay.cut(Why.IDLE_TIMEOUT)
    assert joined.account.whys == [Why.DRAINING]


@given(st.lists(st.sampled_from(["data", "eof", "lose", "reset", "full", "drain", "expire", "cut"]), max_size=25),
       st.lists(st.booleans(), min_size=25, max_size=25), st.integers(0, 8))  # fmt: skip
def test_no_order_of_events_raises_or_leaves_anything_open(events: list[str], sides: list[bool], joined_after: int) -> None:
    joined = Joined()
    transports = (joined.client, joined.upstream)
    now = monotonic()
    is_joined = False
    for number, (event, is_upstream) in enumerate(zip(events, sides, strict=False)):
        if number == joined_after:
            joined.join(idle_s=8.0, now=now)
            is_joined = True
        end, transport = joined.ends[is_upstream], transports[is_upstream]
        now += 1.0
        if event == "expire" and is_joined and joined.watched:
            joined.relay.expire(now)
        elif event == "cut" and is_joined:
            joined.relay.cut(Why.DRAINING)
        elif event == "drain":
            transport.drain()
        elif event == "full":
            transport.takes_all = False
        elif end.is_lost or transport.is_closing():
            if event in ("lose", "reset") and not end.is_lost:
                transport.lose()
        elif event == "data" and transport.is_reading_now and not end.saw_eof:
            end.data_received(os.urandom(40_000))
        elif event == "eof" and transport.is_reading_now and not end.saw_eof:
            end.eof_received()
        elif event in ("lose", "reset"):
            transport.lose(ConnectionResetError())
    if not is_joined:
        joined.join(idle_s=8.0, now=now)
    for _ in range(20):  # from here on both are silent, and the wheel asks
        now += 1.0
        if not joined.account.whys:
            joined.relay.expire(now)
        for end, transport in zip(joined.ends, transports, strict=True):
            if "abort" in transport.ends and not end.is_lost:
                transport.lose()
    assert len(joined.account.whys) == 1
    assert joined.watched == 0
