"""Floods in chunked bodies: extensions, trailers, chunks of a byte, sizes that lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacked import Flood, GoodClient, Site
from instance_process import until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

AT_ONCE = 100
START = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "one long extension": (START + b"1;" + b"x" * 100_000, b"4"),
    "an extension on each chunk": (
        START + b"1;name=value-of-some-length-that-adds-up-to-much-more-than-data\r\nx\r\n" * 3000,
        b"4",
    ),
    "a size of many digits": (START + b"0" * 100_000, b"4"),
    "a size that is too large": (START + b"fffffffffffffffff\r\nx", b"4"),
    "a long trailer": (START + b"0\r\na: " + b"x" * 100_000, b"4"),
    "many trailers": (START + b"0\r\n" + b"a: b\r\n" * 20_000, b"4"),
    "no end after a chunk": (START + b"1\r\nxx", b"4"),
}
LIMITED = START.replace(b"/echo", b"/echo?limited=1")
KEPT_UP = {
    "chunks of a byte": LIMITED + b"1\r\nx\r\n" * 15_000,
    "half a chunk": LIMITED + b"ffff\r\nx",
}


# No others have such a limit: how fast they are answered or refused says more of the machine than of the flood.
ROUTES = [{"name": "limited", "path": "/echo", "query": {"limited": "1"}, "timeouts": {"request": "5s"}}, {"name": "rest"}]


def test_chunked_bodies_are_refused_at_their_limits(tmp_path: Path) -> None:
    with Site(tmp_path, timeouts={"client_body": "2s"}, http={"routes": ROUTES}) as site, GoodClient(site) as good:

        def attack() -> None:
            for name, (data, status) in FLOODS.items():
                with Flood(site) as flood:
                    flood.open(AT_ONCE)
                    for turn in range(4):
                        flood.send(lambda number, data=data, turn=turn: data[turn * 25_000 : (turn + 1) * 25_000])
                        flood.look()
                    good.answers(3)
                    seen = until(flood.statuses, name)
                    assert all(each.startswith(status) for each in seen), (name, seen)
            for data in KEPT_UP.values():
                with Flood(site) as flood:
                    flood.open(AT_ONCE)
                    flood.send(lambda number, data=data: data)
                    good.answers(3)
                    flood.ends()
                    assert {reply[9:12] for reply in flood.received.values()} <= {b"408", b"504"}

        site.withstands(attack)
