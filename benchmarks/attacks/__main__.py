"""`python3 benchmarks/attacks`: what a good client waits while somebody attacks, beside what it waits in peace.

One worker, before a backend of its own. The good client asks 200 times a second, on kept and on new connections, over HTTP/2
where that is attacked. Attackers are other machines in life, and do not take the CPU time of those whom they attack: Balance
has a core for itself, the good client and its backend have another, and the attacker, and a backend that his requests go to,
what they leave of that (SCHED_IDLE): a backend that is busy with what attackers send is no matter of the proxy's. The first
row is an attacker who only burns it: what the machine does to the good client. `--shared` lets all of them share all cores as
equals. It prints a table and judges nothing: the promise is a p99 within twice that of peace. The drills of tests/attacks say
who is served at all.

Memory is what all processes of the instance hold at most while attacked, beyond what they held in peace. To look holds them
up, so it is looked at when what the good client waits has been measured, while the attack goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), *(str(ROOT / "tests" / name) for name in ("attacks", "process", "tls"))]

from attacked import Backend, Flood, GoodClient, Site, raise_descriptor_limit
from crafted_tls import DATA, HANDSHAKE, KEY_UPDATE_WANTED, CraftedClient, hello
from good_http2_client import GoodHttp2Client
from http2_attacker import Http2Attacker
from http2_floods import FLOODS, Http2Flood
from pem_files import self_signed

RATE_PAUSE_S = 0.005
MEMORY_PAUSE_S = 0.1
GUARD = {"connection_protection": {"enabled": True, "max_connections_per_ip": 100, "max_connection_rate": 0}}
PAIR = self_signed("a.example")
TLS = {"tls": {"cert_file": str(PAIR.cert), "key_file": str(PAIR.key)}}
H2C = {"http": {"h2c": True}}
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000

Stop = Callable[[], bool]


def slow_clients(site: Site, stop: Stop) -> None:
    with Flood(site) as heads, Flood(site) as bodies:
        heads.open(2000)
        bodies.open(500)
        heads.send(lambda number: HEAD)
        bodies.send(lambda number: b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        turn = 0
        while not stop():
            turn += 1
            heads.send(lambda number: b"a: b\r\n", range(turn % 100, 2000, 100))  # each once in a second or so
            bodies.send(lambda number: b"x", range(turn % 100, 500, 100))
            heads.look()
            bodies.look()
            time.sleep(0.01)


def connections(site: Site, stop: Stop) -> None:
    while not stop():
        with Flood(site) as flood:
            flood.open(10_000)
            while not stop() and flood.resets < 9_000:
                flood.look(0.1)


def half_handshakes(site: Site, stop: Stop) -> None:
    data = hello()
    while not stop():
        with Flood(site) as flood:
            flood.open(100)
            flood.send(lambda number: data)
            flood.look(0.1)
            time.sleep(0.4)


def new_keys(site: Site, stop: Stop) -> None:
    while not stop():
        with site.connect() as sock:
            client = CraftedClient(sock)
            data = b"".join(client.seal(HANDSHAKE, KEY_UPDATE_WANTED) for _ in range(2000))
            try:
                sock.sendall(data)
            except OSError:
                continue
        time.sleep(0.05)


def tiny_records(site: Site, stop: Stop) -> None:
    with site.connect() as sock:
        client = CraftedClient(sock)
        sock.settimeout(1.0)
        while not stop():
            sock.sendall(b"".join(client.seal(DATA, bytes([byte])) for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            sock.recv(65536)


def heads(site: Site, stop: Stop) -> None:
    data = HEAD + b"".join(b"x-%d: 1\r\n" % number for number in range(2000)) + b"\r\n"
    flood_with(site, stop, data)


def chunks(site: Site, stop: Stop) -> None:
    flood_with(site, stop, CHUNKS)


def flood_with(site: Site, stop: Stop, data: bytes) -> None:
    while not stop():
        with Flood(site) as flood:
            flood.open(20)
            flood.send(lambda number: data)
            flood.look(0.1)
        time.sleep(0.1)


def busy_neighbour(site: Site, stop: Stop) -> None:
    while not stop():
        sum(range(1000))


def http2_flood(flood: Http2Flood, site: Site, stop: Stop) -> str:
    return Http2Attacker(site, flood).run(stop)


@dataclass
class Attack:
    """What is done, to which site, and beside whom. `run` may return how its connections ended."""

    run: Callable[[Site, Stop], str | None]
    keys: dict[str, Any] = field(default_factory=dict)
    good: type[GoodClient] = GoodClient


ATTACKS = {
    "none, a process that burns its CPU time": Attack(busy_neighbour),
    "2,000 slow heads, 500 slow bodies": Attack(slow_clients),
    "10,000 connections from one address, with the guard": Attack(connections, {"security": GUARD}),
    "200 half handshakes a second": Attack(half_handshakes, TLS),
    "key updates, 2,000 at once": Attack(new_keys, TLS),
    "TLS records of a byte": Attack(tiny_records, TLS),
    "200 heads of 2,000 fields a second": Attack(heads),
    "200 bodies of 2,000 chunks a second": Attack(chunks),
    **{name: Attack(partial(http2_flood, flood), H2C, GoodHttp2Client) for name, flood in FLOODS.items()},
}


def place(site: Site, *attackers: int) -> None:
    """Give Balance a core for itself, and attackers what the good client and its backend leave of another."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    for pid in site.pids.values():
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), {first})
    for pid in (0, site.backend_pid, *attackers):
        os.sched_setaffinity(pid, {second})
    for pid in attackers:
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def attacker(attack: Attack, site: Site, begin: Any, end: Any, ended: Any) -> None:
    raise_descriptor_limit()
    begin.wait()
    ended.send(attack.run(site, end.is_set) or "")


def percentile(seconds: list[float], part: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[int(part * (len(seconds) - 1))] * 1000 if seconds else float("nan")


def most_held(site: Site, seconds: float) -> int:
    """The most memory of so long, in bytes."""
    most, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(MEMORY_PAUSE_S)
        most = max(most, site.held().memory)
    return most


@contextlib.contextmanager
def attacked(folder: Path, keys: dict[str, Any]) -> Iterator[tuple[Site, Backend]]:
    """The good client's requests go to the site's own backend, all others to another."""
    others = Backend("others")
    routes = [{"name": "good", "host": "good.example", "pool": "app"}, {"name": "others", "pool": "others"}]
    http = keys.get("http", {}) | {"routes": routes}
    try:
        with Site(folder, pools={"others": others.pool}, **keys | {"http": http}) as site:
            yield site, others
    finally:
        others.stop()


def measured(name: str, attack: Attack, seconds: float, *, is_shared: bool) -> str:
    """A row of the table."""
    context = multiprocessing.get_context("fork")
    begin, end = context.Event(), context.Event()
    told, ended = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, attacked(Path(folder), attack.keys) as (site, others):
        process = context.Process(target=attacker, args=(attack, site, begin, end, ended), daemon=True)
        process.start()
        all_cores = os.sched_getaffinity(0)
        if not is_shared:
            place(site, process.pid or 0, others.pid)
        good = attack.good(site, RATE_PAUSE_S)
        with good:
            time.sleep(0.5)
            first = len(good.seconds)
            time.sleep(seconds)
            second = len(good.seconds)
            before = site.held().memory
            begin.set()
            time.sleep(0.5)
            third = len(good.seconds)
            time.sleep(seconds)
            fourth = len(good.seconds)
            most = most_held(site, seconds / 2)
            end.set()
            how = told.recv() if told.poll(5.0) else ""
            process.join(5.0)
            process.kill()
            os.sched_setaffinity(0, all_cores)
        peace, war = good.seconds[first:second], good.seconds[third:fourth]
        ratio = percentile(war, 0.99) / percentile(peace, 0.99)
        cells = [f"{percentile(each, part):.2f}" for each in (peace, war) for part in (0.5, 0.99)]
        memory = f"{(most - before) / 1e6:.1f}"
        return f"| {name} | {' | '.join(cells)} | {ratio:.1f} | {len(war)} | {memory} | {how or '–'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of peace, and of each attack")
    parser.add_argument("--shared", action="store_true", help="all share all cores, as equals")
    parser.add_argument("--only", default="", help="attacks whose name has this")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    if len(os.sched_getaffinity(0)) < 2 and not arguments.shared:
        parser.error("two cores are needed; with one there is --shared")
    print(
        "| attack | p50, ms | p99, ms | p50 under attack | p99 under attack | p99 by p99 | answers | MB more | how it ended |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for name, attack in ATTACKS.items():
        if arguments.only in name:
            print(measured(name, attack, arguments.seconds, is_shared=arguments.shared), flush=True)


if __name__ == "__main__":
    main()
