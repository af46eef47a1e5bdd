"""The environment of the results: machine, kernel, versions, command."""

import datetime
import os
import platform
import re
import shlex
import sys
from pathlib import Path

from wire import load
from wire.http2 import h2load
from wire.peers.nginx import Nginx
from wire.peers.peer import Mode, Peer


def cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def facts(peers: list[Peer], rounds: int, seconds: float, proxy_core: int, load_core: int) -> list[str]:
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    versions = [f"{peer.name} {peer.version()}" for peer in peers if peer.missing(Mode.HTTP) is None]
    return [
        f"{today}; {cpu_model()}, {os.cpu_count()} cores; {platform.system()} {platform.release()}",
        "; ".join([*versions, f"wrk {load.version()}", *([] if h2load.missing() else [f"h2load {h2load.version()}"])]),
        f"proxy on core {proxy_core}; origin (nginx {Nginx().version()}, one worker) and load on core {load_core}; "
        f"rounds: {rounds} × {seconds:g} s; load average at the start {os.getloadavg()[0]:.2f}",
        f"`python3 {shlex.join(['benchmarks/wire', *sys.argv[1:]])}`",
    ]
