"""What the dashboard costs the browser that shows it, and the instance that feeds it.

A real instance with many backends and some traffic, the page in a headless Chromium. For the browser: the longest tasks of the
page's main thread, by CPU time (what others take of the machine is not the page's) and by the clock, while it loads, while it
shows what comes each second, and while somebody searches. For the instance: the CPU time of control per second, with the page
open and without.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

LONG_TASK_MS = 50.0  # https://w3c.github.io/longtasks/
CATEGORIES = ["toplevel", "devtools.timeline"]
TASK = "ThreadControllerImpl::RunTask"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """0 when no task of the page took more CPU time than a long task, with up to 200 backends."""
    parser = argparse.ArgumentParser(prog="benchmarks/dashboard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backends", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is watched")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("there is no chromium: apt-get install chromium", file=sys.stderr)
        return 1
    print("backends  while      longest task, CPU (clock)   tasks over 50 ms of CPU   control, CPU of a core")
    is_good = True
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for count in options.backends:
            with instance(count) as (admin, control):
                idle = control_share(control, options.seconds / 2)
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                for what in (loading, showing, searching):
                    browser.start_tracing(page=page, categories=CATEGORIES)
                    began_s, spent_s = time.monotonic(), cpu_s(control)
                    what(page, admin, options.seconds)
                    share = (cpu_s(control) - spent_s) / (time.monotonic() - began_s)
                    tasks = main_thread_tasks(browser.stop_tracing())
                    longest, clock = max(tasks, default=(0.0, 0.0))
                    over = sum(cpu > LONG_TASK_MS for cpu, _ in tasks)
                    is_good = is_good and (not over or count > 200)
                    print(f"{count:8}  {what.__name__:9}  {longest:6.1f} ms ({clock:.1f} ms) {over:20} {share:26.2%}")
                print(f"{count:8}  no page open {'':44} {idle:24.2%}")
                page.close()
        browser.close()
    return 0 if is_good else 1


def loading(page: Page, url: str, seconds: float) -> None:
    """From nothing until every row is there."""
    page.goto(url)
    page.wait_for_timeout(seconds * 1000)


def showing(page: Page, url: str, seconds: float) -> None:
    """What comes each second."""
    page.wait_for_timeout(seconds * 1000)


def searching(page: Page, url: str, seconds: float) -> None:
    """Letter by letter, and back."""
    page.locator("#search").press_sequentially("backend-19", delay=100)
    page.locator("#search").fill("")
    page.wait_for_timeout(1000)


def main_thread_tasks(trace: bytes) -> list[tuple[float, float]]:
    """(CPU, clock) in milliseconds of each task of the pages' main threads."""
    events: list[dict[str, Any]] = json.loads(trace)["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        (event.get("tdur", 0) / 1000, event["dur"] / 1000)
        for event in events
        if event.get("name") == TASK and event.get("ph") == "X" and (event["pid"], event["tid"]) in threads
    ]


@contextmanager
def instance(count: int) -> Iterator[tuple[str, int]]:
    """An instance before that many backends, with traffic: (where its page is, the pid of control)."""
    admin_port, port, origin_port = free_ports(3)
    rows = "\n".join(
        f"  - {{name: backend-{number}, address: '127.0.{number // 250 + 1}.{number % 250 + 1}:{origin_port}'}}"
        for number in range(count)
    )
    text = (
        f'mode: http\nlisten: "127.0.0.1:{port}"\nworkers: 1\nbackends:\n{rows}\ncircuit_breaker: {{enabled: true}}\n'
        f'shutdown: {{delay: 0s}}\nadmin: {{listen: "127.0.0.1:{admin_port}"}}\n'
    )
    balance = [sys.executable, "-m", "balance"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(text)
        config.flush()
        backend = [*balance, "backend", "--host", "0.0.0.0", "--port", str(origin_port), "--name", "o"]
        origin = subprocess.Popen(backend, stdout=subprocess.DEVNULL)
        served = subprocess.Popen([*balance, "serve", "--config", config.name], stderr=subprocess.DEVNULL)
        ended = threading.Event()
        try:
            control = wait_ready(f"http://127.0.0.1:{admin_port}")
            threading.Thread(target=send_requests, args=[f"http://127.0.0.1:{port}/", ended], daemon=True).start()
            yield f"http://127.0.0.1:{admin_port}/", control
        finally:
            ended.set()
            for process in (served, origin):
                process.terminate()
                process.wait(30)


def wait_ready(admin: str) -> int:
    """The pid of control, once the instance is ready."""
    for _ in range(600):
        with suppress(OSError):
            if urllib.request.urlopen(f"{admin}/ready", timeout=2).status == 200:
                return int(json.load(urllib.request.urlopen(f"{admin}/status", timeout=20))["control"]["pid"])
        time.sleep(0.1)
    raise SystemExit("the instance is not ready within a minute")


def send_requests(url: str, ended: threading.Event) -> None:
    while not ended.wait(0.01):
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).read()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def cpu_s(pid: int) -> float:
    """What the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def control_share(pid: int, seconds: float) -> float:
    """Of a core, over that time."""
    before = cpu_s(pid)
    time.sleep(seconds)
    return (cpu_s(pid) - before) / seconds


if __name__ == "__main__":
    sys.exit(main())
