"""10,000 connections from one address: with the guard few of them stand; without it they take what is allowed, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacked import Flood, GoodClient, Site, raise_descriptor_limit

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

MANY = min(10_000, raise_descriptor_limit())
ALLOWED = 100


def test_the_guard_leaves_one_address_what_it_may_have(tmp_path: Path) -> None:
    guard = {"enabled": True, "max_connections_per_ip": ALLOWED, "max_connection_rate": 0}
    with Site(tmp_path, security={"connection_protection": guard}) as site, GoodClient(site) as good:

        def attack() -> None:
            before = site.ended("too_many_connections")
            with Flood(site) as flood:
                flood.open(MANY)
                while flood.resets < MANY - ALLOWED:
                    flood.look(1.0)
                assert len(flood.sockets) == ALLOWED
                assert site.ended("too_many_connections") - before == MANY - ALLOWED
                good.answers(20)

        site.withstands(attack)
        said = [line for line in site.instance.lines if f"127.0.0.2 has {ALLOWED} connections; one more is reset" in line]
        assert 0 < len(said) < 60  # one a second at most


def test_a_limit_of_new_connections_a_second_holds(tmp_path: Path) -> None:
    guard = {"enabled": True, "max_connections_per_ip": 0, "max_connection_rate": ALLOWED}
    with Site(tmp_path, security={"connection_protection": guard}) as site, GoodClient(site, per_connection=200) as good:
        with Flood(site) as flood:
            flood.open(MANY // 10)
            while flood.resets + len(flood.sockets) < MANY // 10 or not flood.resets:
                flood.look(0.1)
            good.answers(20)
        assert site.ended("connection_rate") > 0


@pytest.mark.parametrize("max_clients", [1000, 0])
def test_without_the_guard_silent_connections_make_room_for_others(tmp_path: Path, max_clients: int) -> None:
    """0: as many as there are descriptors for. The longest silent ones are closed for those that come."""
    keys = {"max_clients": max_clients, "timeouts": {"client_header": "4s"}}
    with Site(tmp_path, **keys) as site, GoodClient(site) as good:

        def attack() -> None:
            with Flood(site) as flood:
                flood.open(MANY // 4 if max_clients else MANY)
                for _ in range(20):
                    flood.look(0.1)
                    if max_clients:
                        assert sum(site.held().descriptors.values()) < 1000 + max_clients
                good.answers(20)
                flood.ends()

        site.withstands(attack, times=1 if max_clients else 2)
