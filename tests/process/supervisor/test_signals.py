"""Signals that can be waited for, sent by this process to itself."""

import signal
from collections.abc import Iterator

import pytest
from polling import is_readable

from balance.process.supervisor.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    taken = (signal.SIGUSR1, signal.SIGUSR2)
    before = {signum: signal.getsignal(signum) for signum in taken}
    signals = Signals(taken)
    yield signals
    signal.set_wakeup_fd(-1)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    signals.close()


def test_signals_are_received_in_order_and_once(signals: Signals) -> None:
    assert signals.received() == []
    signal.raise_signal(signal.SIGUSR2)
    signal.raise_signal(signal.SIGUSR1)
    assert is_readable(signals.fileno(), 10)
    assert signals.received() == [signal.SIGUSR2, signal.SIGUSR1]
    assert signals.received() == []
