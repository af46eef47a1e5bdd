"""The lines at the start, from a configuration and its real sockets."""

import pytest

from balance.config.model import (
    AdminConfig,
    BackendConfig,
    Config,
    HealthCheck,
    HttpConfig,
    ListenerConfig,
    MetricsConfig,
    PoolConfig,
)
from balance.config.route_model import Fault, RouteConfig, TrafficPolicy
from balance.model import Address, Mode
from balance.process.operations.startup_log import MAX_WARNINGS, faults, limit_warnings, lines, url
from balance.process.sockets.listen_sockets import open_all

ANY = Address("127.0.0.1", 0)


def announced(**changes: object) -> list[str]:
    """The lines after the first, with ports as bound."""
    pool = PoolConfig(
        "app",
        (BackendConfig("b1", Address("10.0.0.1", 80)), BackendConfig("b2", Address("10.0.0.2", 80))),
        health_check=HealthCheck(enabled=True, kind="http", interval_s=2.5),
    )
    settings = {"admin": AdminConfig(address=ANY), "workers": 2} | changes
    config = Config((ListenerConfig("web", (ANY, ANY), Mode.HTTP, "app"),), (pool,), **settings)  # type: ignore[arg-type]
    listen_sockets = open_all(config)
    try:
        text = list(lines(config, listen_sockets, 1_700_000_000.0))[1:]
        for number, listen_address in enumerate(listen_sockets.listeners + listen_sockets.admin_and_metrics):
            text = [line.replace(f":{listen_address.address.port}", f":<{number}>") for line in text]
        return text
    finally:
        listen_sockets.close()


def test_every_listener_and_admin_address_has_its_line() -> None:
    pool = "pool app (round-robin, 2 backends, http health checks every 2.5s)"
    assert announced() == [
        f"listener web: http on 127.0.0.1:<0> to {pool}",
        f"listener web: http on 127.0.0.1:<1> to {pool}",
        "admin: http://127.0.0.1:<2>/status (also /health, /ready, /version)",
        "metrics: http://127.0.0.1:<2>/metrics",
        "workers: 2",
    ]


def test_metrics_are_announced_where_they_are() -> None:
    apart = announced(metrics=MetricsConfig(address=ANY, path="/m"))
    assert "metrics: http://127.0.0.1:<3>/m" in apart
    assert not [line for line in announced(metrics=MetricsConfig(enabled=False)) if line.startswith("metrics")]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("127.0.0.1:9090", "http://127.0.0.1:9090"),
        (":9090", "http://127.0.0.1:9090"),
        ("[::1]:9090", "http://[::1]:9090"),
        ("unix:/run/admin.sock", "unix:/run/admin.sock"),
    ],
)
def test_a_url_can_be_asked_from_this_machine(address: str, text: str) -> None:
    assert url(Address.parse(address)) == text


def test_a_few_remarks_are_all_made_and_of_thousands_the_first() -> None:
    assert list(limit_warnings(map(str, range(MAX_WARNINGS)))) == [str(number) for number in range(MAX_WARNINGS)]
    *first, last = limit_warnings(map(str, range(12_000)))
    assert first == [str(number) for number in range(MAX_WARNINGS)]
    assert last == "and 11950 remarks more: balance-validate makes all of them"


def test_injected_faults_are_said_with_their_end() -> None:
    ends = [
        Fault(abort_percent=1, until_s=1_800_000_000.0),
        Fault(abort_percent=1, until_s=600.0, is_until_relative=True),
        Fault(abort_percent=1, until_s=600.0, is_until_relative=True, ends_s=1_800_000_000.0),
        Fault(abort_percent=1, until_s=1_700_000_000.0),  # over
        Fault(abort_percent=1, until_s=600.0, is_until_relative=True, ends_s=1_600_000_000.0),
    ]
    routes = tuple(RouteConfig(f"r{number}", policy=TrafficPolicy(fault=fault)) for number, fault in enumerate(ends))
    plain = RouteConfig("plain")
    config = Config((ListenerConfig("web", (), Mode.HTTP, "app", http=HttpConfig(routes=(plain, *routes))),), ())
    assert list(faults(config, 1_700_000_000.0)) == [
        "route web/r0 injects faults until 2027-01-15T08:00:00Z",
        "route web/r1 injects faults for 600 s",
        "route web/r2 injects faults until 2027-01-15T08:00:00Z",
    ]
