"""How long an idle connection may be kept, and what a backend is when it is new."""

import pytest

from balance.config.model import BackendConfig
from balance.model import Address
from balance.runtime import counters
from balance.runtime.backend import Backend, IdleTime
from balance.runtime.pool_health import RampGate


def test_new_backend_is_used_at_once_and_holds_nothing() -> None:
    backend = Backend(BackendConfig("a", Address("127.0.0.1", 80), 3), 2)
    assert (backend.is_ready, backend.idle, backend.open_count, backend.load.active, backend.load.weight) == (True, [], 0, 0, 3)
    assert backend.block == counters.block(2)
    assert "a 127.0.0.1:80" in repr(backend)


def test_configured_idle_time_listens_to_nobody() -> None:
    idle = IdleTime(30.0)
    idle.announced(5.0)
    idle.closed_after(1.0, 0.0)
    assert idle.limit_s(0.0) == 30.0


def test_auto_stays_below_what_common_servers_keep() -> None:
    assert IdleTime(None).limit_s(0.0) < 5.0


@pytest.mark.parametrize(("announced_s", "limit_s"), [(5.0, 4.0), (15.0, 14.0), (1.0, 0.5), (600.0, 60.0)])
def test_auto_stays_below_what_the_backend_announces(announced_s: float, limit_s: float) -> None:
    idle = IdleTime(None)
    idle.announced(announced_s)
    assert idle.limit_s(0.0) == limit_s


def test_close_of_an_idle_connection_is_learned_and_later_forgotten() -> None:
    idle = IdleTime(None)
    idle.closed_after(2.0, now=100.0)
    assert idle.limit_s(100.0) == pytest.approx(1.6)
    assert idle.limit_s(100.0 + IdleTime.MEMORY_S - 1) == pytest.approx(1.6)
    assert idle.limit_s(100.0 + IdleTime.MEMORY_S) == IdleTime.AUTO_S


@pytest.mark.parametrize("idle_s", [0.0, 0.005, 8.0, 100.0])
def test_close_that_was_no_idle_timeout_teaches_nothing(idle_s: float) -> None:
    idle = IdleTime(None)
    idle.closed_after(idle_s, now=0.0)
    assert idle.limit_s(0.0) == IdleTime.AUTO_S


def test_other_settings_hold_at_once_and_what_was_learned_goes_on() -> None:
    backend = Backend(BackendConfig("a", Address("127.0.0.1", 80), 3), 2)
    backend.idle_time.announced(3.0)
    backend.configure(BackendConfig("a", Address("127.0.0.1", 80), 7, backup=True, max_connections=5), None)
    assert (backend.load.weight, backend.is_backup, backend.limit) == (7, True, 5)
    assert backend.idle_time.limit_s(0.0) == 2.0
    backend.configure(BackendConfig("a", Address("127.0.0.1", 80)), 30.0)
    assert (backend.load.weight, backend.is_backup, backend.limit) == (1, False, 0)
    assert backend.idle_time.limit_s(0.0) == 30.0


def test_one_that_is_let_go_leads_to_no_pool_any_more() -> None:
    backend = Backend(BackendConfig("a", Address("127.0.0.1", 80)), 2)
    backend.gate = backend.slow_start = RampGate(backend, 30.0, 0.0)
    backend.let_go()
    assert (backend.gate, backend.slow_start, backend.permits) == (None, None, None)
