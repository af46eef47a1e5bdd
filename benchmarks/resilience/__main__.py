"""`python3 benchmarks/resilience`: what clients see of a backend in trouble, beside nginx and HAProxy, each with its defaults.

Three backends, real processes, 300 requests a second, a quarter of them POSTs. One backend is killed, frozen, resets, answers
500 or 503, or is slow, for some seconds; then all are restarted one after the other; then all are down for 3 s and back.
Balance's file names only `listen`, `backends` and `health_check.enabled: true` (and an admin port); nginx has an upstream of
three servers, HAProxy the same with `check`. Clients wait 5 s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "process")]

import standalone_script

standalone_script.prepare()

from backend_processes import BackendProcess, BackendProcesses

RATE = 300
PATIENCE_S = 5.0
OUTAGE_S = 3.0

NGINX = """\
daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream app {{ {servers} }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; }} }}
}}
"""
HAPROXY = """\
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend main
  bind 127.0.0.1:{port}
  default_backend app
backend app
{servers}
"""
BALANCE = """\
listen: 127.0.0.1:{port}
backends:
{servers}
health_check:
  enabled: true
admin: {{listen: "127.0.0.1:0"}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def proxy(name: str, addresses: list[str], folder: Path, check_s: str = "") -> Iterator[int]:
    """One of them before these backends. `check_s`: how often they are checked, where that is not the default."""
    port = free_port()
    file = folder / f"{name}.conf"
    if name == "nginx":
        servers = " ".join(f"server {address};" for address in addresses)
        file.write_text(NGINX.format(port=port, servers=servers, folder=folder))
        command = ["nginx", "-p", str(folder), "-c", str(file)]
    elif name == "haproxy":
        inter = f" inter {check_s}" if check_s else ""
        servers = "\n".join(f"  server s{n} {address} check{inter}" for n, address in enumerate(addresses))
        file.write_text(HAPROXY.format(port=port, servers=servers))
        command = ["haproxy", "-db", "-f", str(file)]
    else:
        text = BALANCE.format(port=port, servers="\n".join(f"  - address: {address}" for address in addresses))
        if check_s:
            text = text.replace("enabled: true", f"enabled: true\n  interval: {check_s}\n  timeout: 300ms")
        file.write_text(text)
        command = [sys.executable, "-m", "balance", "serve", "--config", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


async def ask(port: int, number: int, *, is_post: bool) -> str:
    """The status, or what went wrong; on a connection of its own, as most clients of a page are new."""
    method, body = ("POST", "x=1") if is_post else ("GET", "")
    head = f"{method} /r/{number} HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    writer = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode())
            reply = await reader.read(65536)
            return reply[9:12].decode() if reply else "closed"
    except TimeoutError:
        return "no answer in 5 s"
    except OSError:
        return "reset"
    finally:
        if writer is not None:
            writer.transport.abort()


class Load:
    """300 a second, whatever becomes of them."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.first_200_at = 0.0
        self.is_served = asyncio.Event()
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_over = False

    async def run(self) -> None:
        began, number = time.monotonic(), 0
        while not self.is_over:
            number += 1
            task = asyncio.create_task(self._one(number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        await asyncio.gather(*self._tasks)

    async def _one(self, number: int) -> None:
        is_post = number % 4 == 0  # not three: each would go to the same backend
        said = await ask(self._port, number, is_post=is_post)
        self.seen["POST" if is_post else "GET", said] += 1
        if said == "200" and not self.first_200_at:
            self.first_200_at = time.monotonic()
            self.is_served.set()

    @property
    def failed(self) -> str:
        words = []
        for method in ("GET", "POST"):
            bad = {said: count for (how, said), count in self.seen.items() if how == method and said != "200"}
            words.append(f"{sum(bad.values())} {method}" + (f" ({', '.join(sorted(bad))})" if bad else ""))
        return f"{', '.join(words)} of {sum(self.seen.values())}"


async def _restart_all(backends: BackendProcesses) -> None:
    for backend in backends.by_name.values():
        await asyncio.to_thread(backend.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(backend.start)
        await asyncio.sleep(1.5)


def _for_a_while(
    begin: Callable[[BackendProcess], None], end: Callable[[BackendProcess], None]
) -> Callable[[BackendProcesses], Awaitable[None]]:
    async def trouble(backends: BackendProcesses) -> None:
        ill = backends.by_name["b2"]
        await asyncio.to_thread(begin, ill)
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(end, ill)

    return trouble


def _mood(behaviour: str) -> Callable[[BackendProcesses], Awaitable[None]]:
    return _for_a_while(lambda backend: backend.set_behaviour(behaviour), lambda backend: backend.set_behaviour("well"))


SECONDS = 6.0
FAULTS: dict[str, Callable[[BackendProcesses], Awaitable[None]]] = {
    "killed": _for_a_while(BackendProcess.kill, BackendProcess.start),
    "frozen (SIGSTOP)": _for_a_while(BackendProcess.pause, BackendProcess.resume),
    "resets each request": _mood("reset-read"),
    "answers 503": _mood("status 503"),
    "answers 500": _mood("status 500"),
    "ten times as slow": _mood("slow"),
    "rolling restart": _restart_all,
}


async def drill(port: int, backends: BackendProcesses, fault: Callable[[BackendProcesses], Awaitable[None]]) -> str:
    load = Load(port)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1.0)
    await fault(backends)
    await asyncio.sleep(1.5)
    load.is_over = True
    await running
    return load.failed


async def outage(port: int, backends: BackendProcesses) -> str:
    """How long after all went down the first 200 came; they are started again after 3 s."""
    load = Load(port)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1.0)
    for backend in backends.by_name.values():
        await asyncio.to_thread(backend.kill)
    down = time.monotonic()
    await asyncio.sleep(OUTAGE_S - 0.5)
    load.first_200_at = 0.0
    load.is_served.clear()
    await asyncio.sleep(0.5)
    await asyncio.gather(*(asyncio.to_thread(backend.start) for backend in backends.by_name.values()))
    started = time.monotonic()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(load.is_served.wait(), 20)
    load.is_over = True
    await running
    return (
        f"{load.first_200_at - down:.1f} s (all listened at {started - down:.1f} s)" if load.first_200_at else "not within 20 s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    parser.add_argument("--proxies", default="balance,nginx,haproxy")
    given = parser.parse_args()
    names = [name for name in given.proxies.split(",") if name == "balance" or shutil.which(name)]
    print(f"| one of three backends, {RATE} req/s | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}", flush=True)
    rows = {**FAULTS, "all down for 3 s, checks every 500 ms: first 200 after": None}
    for title, fault in rows.items():
        if given.only not in title:
            continue
        said = []
        for name in names:
            with tempfile.TemporaryDirectory() as directory, BackendProcesses(Path(directory)) as backends:
                addresses = [backend.address for backend in backends.by_name.values()]
                with proxy(name, addresses, Path(directory), "" if fault else "500ms") as port:
                    said.append(asyncio.run(drill(port, backends, fault) if fault else outage(port, backends)))
        print(f"| {title} | {' | '.join(said)} |", flush=True)


if __name__ == "__main__":
    main()
