"""Slow clients (Slowloris, R-U-Dead-Yet): heads and bodies that never end hold nothing up but themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacked import Flood, GoodClient, Site, raise_descriptor_limit
from instance_process import until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

HEADS = 2000
BODIES = 500
READERS = 60
TIMEOUTS = {"client_header": "3s", "client_body": "3s", "write": "2s"}
# The good client's requests have no limit in all: how fast they are answered says more of the machine than of the attack.
ROUTES = [{"name": "echo", "path": "/echo", "timeouts": {"request": "5s"}}, {"name": "rest"}]


def test_slow_heads_and_bodies_end_at_their_time_limits_and_others_are_served(tmp_path: Path) -> None:
    raise_descriptor_limit()
    with Site(tmp_path, timeouts=TIMEOUTS, http={"routes": ROUTES}) as site, GoodClient(site) as good:

        def attack() -> None:
            with Flood(site) as heads, Flood(site) as bodies:
                heads.open(HEADS)
                bodies.open(BODIES)
                heads.send(lambda number: b"GET / HTTP/1.1\r\nHost: a\r\n")
                bodies.send(lambda number: b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
                for turn in range(20):
                    heads.send(lambda number, turn=turn: b"X-%d: %d\r\n" % (turn, number) if number % 20 == turn else b"")
                    bodies.send(lambda number: b"x" * 10)
                    heads.look()
                    bodies.look(0.05)
                good.answers(20)
                heads.ends()
                bodies.ends()
                assert {reply[:12] for reply in heads.received.values()} == {b"HTTP/1.1 408"}
                assert {reply[:12] for reply in bodies.received.values()} <= {b"HTTP/1.1 408", b"HTTP/1.1 504"}

        site.withstands(attack)


def test_clients_that_do_not_read_are_cut_and_hold_little(tmp_path: Path) -> None:
    """Slow read: replies of 10 MB that nobody takes."""
    with Site(tmp_path, timeouts=TIMEOUTS) as site, GoodClient(site) as good:

        def attack() -> None:
            before, ended = site.held().memory, site.ended("client_too_slow")
            with Flood(site) as flood:
                flood.open(READERS)
                flood.send(lambda number: b"GET /bytes?n=10000000 HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
                good.answers(20)
                assert site.held().memory < before + READERS * (1 << 20)
                until(lambda: site.ended("client_too_slow") >= ended + READERS, site.log)

        site.withstands(attack)
