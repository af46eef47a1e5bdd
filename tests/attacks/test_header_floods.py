"""Floods of header fields: too many, too long, with names that are too long, and without end."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacked import Flood, GoodClient, Site
from instance_process import until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

AT_ONCE = 200
START = b"GET / HTTP/1.1\r\nHost: a\r\n"
FLOODS = {
    "many fields": (START + b"".join(b"x-%d: 1\r\n" % number for number in range(2000)) + b"\r\n", b"431"),
    "many of one name": (START + b"a: 1\r\n" * 5000 + b"\r\n", b"431"),
    "a long value": (START + b"a: " + b"x" * 100_000, b"431"),
    "a long name": (START + b"x" * 100_000, b"431"),
    "a large head of short fields": (START + b"a: " + b"y" * 4000 + (b"\r\nb: " + b"y" * 4000) * 20, b"431"),
    "a long request line": (b"GET /" + b"x" * 100_000, b"414"),
    "a long method": (b"X" * 100_000, b"501"),
    "folded lines": (START + b"a: 1\r\n" + b" x\r\n" * 20_000, b"4"),
    "empty lines first": (b"\r\n" * 50_000 + START + b"\r\n", b""),
    "no end of line": (b"\r" * 100_000, b"4"),
    "zeros": (b"\0" * 100_000, b"400"),
    "pipelined heads": ((START + b"\r\n") * 4000, b"200"),
}


def test_heads_are_refused_at_their_limits(tmp_path: Path) -> None:
    with Site(tmp_path, timeouts={"client_header": "2s", "keepalive": "2s"}) as site, GoodClient(site) as good:

        def attack() -> None:
            for name, (data, status) in FLOODS.items():
                with Flood(site) as flood:
                    flood.open(AT_ONCE)
                    for turn in range(4):
                        flood.send(lambda number, data=data, turn=turn: data[turn * 25_000 : (turn + 1) * 25_000])
                        flood.look()
                    good.answers(3)
                    seen = until(flood.statuses, name) if status else flood.statuses()
                    assert all(each.startswith(status) for each in seen), (name, seen)

        site.withstands(attack)
