"""`balance demo`: three backends and the balancer as child processes, with instructions; all end with the command.

It balances nothing itself: every part is the same `balance` command that a user would type.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import click

from balance.cli.child_process import ChildProcess
from balance.errors import StartError

HOST = "127.0.0.1"
WEIGHTS = {"red": 3, "green": 2, "blue": 1}
FLAKY = "blue"
START_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0
POLL_S = 0.05
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")  # without one a text browser would take the terminal


@click.command(
    context_settings={"max_content_width": 100},
    epilog="""\b
Examples:
  balance demo
  balance demo --port 8001 --admin-port 9091
""",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Where clients connect; 0 is any.")
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    default=9090,
    show_default=True,
    help="Where the dashboard, state and metrics are; 0 is any.",
)
@click.option("--browser/--no-browser", default=True, help="Whether the dashboard is opened, where there is a display.")
def demo_command(port: int, admin_port: int, browser: bool) -> None:
    """Start three demo backends with weights 3/2/1 and the balancer before them, until Ctrl-C."""
    if port == admin_port != 0:
        raise click.UsageError(f"--port and --admin-port are both {port}; they must differ")
    port = free_port(port, "--port")
    admin_port = free_port(admin_port, "--admin-port")
    asyncio.run(run(port, admin_port, browser and has_display()))


def has_display() -> bool:
    """Whether somebody sits at a terminal with a screen."""
    return sys.stdout.isatty() and (sys.platform == "darwin" or any(map(os.environ.get, DISPLAYS)))


def free_port(wanted: int, flag: str) -> int:
    """The wanted port, or any free one for 0. StartError suggests another when it is in use."""
    for port in (wanted, *range(wanted + 1, min(wanted + 100, 65536))):
        # Without SO_REUSEPORT, with which a running balancer would share its port.
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except PermissionError:
                raise StartError(f"port {port} needs more rights than you have; choose one above 1023 by {flag}") from None
            except OSError:
                continue
            if port == wanted:
                return int(probe.getsockname()[1])
            raise StartError(f"port {wanted} is taken by another program; try: balance demo {flag} {port}")
    raise StartError(f"port {wanted} is taken by another program; choose another by {flag}")


async def run(port: int, admin_port: int, is_opened: bool) -> None:
    """Start everything, wait for a signal or for the end of a child, stop everything."""
    loop = asyncio.get_running_loop()
    children: list[ChildProcess] = []
    story = loop.create_task(start_and_watch(children, port, admin_port, is_opened))

    def interrupt() -> None:
        if not story.cancelling():
            story.cancel()
            return
        for child in children:  # second signal: at once
            child.kill()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    await asyncio.wait([story])
    if not story.cancelled():
        story.result()


async def start_and_watch(children: list[ChildProcess], port: int, admin_port: int, is_opened: bool) -> None:
    """Start the children, print instructions and wait; ends by cancellation, or by StartError when a child ends."""
    with tempfile.TemporaryDirectory(prefix="balance-demo-") as directory:
        try:
            backends = await start_backends(children)
            config = write_configuration(directory, port, admin_port, backends)
            children.append(await ChildProcess.start("the balancer", ["serve", "--config", str(config)]))
            async with asyncio.TaskGroup() as watch:
                for child in children:
                    watch.create_task(child.end())
                await wait_until_ready(admin_port)
                click.echo(instructions(port, admin_port, backends, config))
                if is_opened:
                    await asyncio.to_thread(webbrowser.open, f"http://{HOST}:{admin_port}/")
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            await stop(children)


async def start_backends(children: list[ChildProcess]) -> dict[str, str]:
    """Start the backends. Returns their addresses by name."""
    started = {}
    for name in WEIGHTS:
        started[name] = await ChildProcess.start(
            f"backend {name}", ["backend", "--port", "0", "--name", name, "--websocket"], is_heard=True
        )
        children.append(started[name])
    lines = {name: await child.first_line(START_LIMIT_S) for name, child in started.items()}
    return {name: line.rpartition("http://")[2] for name, line in lines.items()}


async def stop(children: list[ChildProcess]) -> None:
    """Stop the balancer first, so that it does not see its backends end."""
    for child in reversed(children):
        await child.stop(STOP_LIMIT_S)


def write_configuration(directory: str, port: int, admin_port: int, backends: Mapping[str, str]) -> Path:
    path = Path(directory, "config.yaml")
    path.write_text(configuration(port, admin_port, backends))
    return path


def configuration(port: int, admin_port: int, backends: Mapping[str, str]) -> str:
    members = "\n".join(
        f"      - {{name: {name}, address: '{address}', weight: {WEIGHTS[name]}}}" for name, address in backends.items()
    )
    return f"""\
mode: http
listen: "{HOST}:{port}"
workers: 1  # one worker deals in one order, so that any six requests are exactly 3/2/1
load_balancer: {{algorithm: weighted-round-robin}}
http:
  routes:
    - {{name: sticky, path: /lb, pool: sticky}}
    - {{name: all, pool: web}}
pools:
  web:
    backends:
{members}
  sticky:  # the same backends; a client stays where its first request went
    session_affinity: {{enabled: true, secret: {token_hex(16)}}}
    backends:
{members}
health_check: {{enabled: true, type: http, path: /health, interval: 1s, timeout: 500ms, unhealthy_threshold: 2}}
circuit_breaker: {{enabled: true}}
shutdown: {{delay: 0s}}
admin: {{listen: "{HOST}:{admin_port}"}}
"""


async def wait_until_ready(admin_port: int) -> None:
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                if await is_ready(admin_port):
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise StartError(f"the balancer was not ready within {START_LIMIT_S:g} s") from None


async def is_ready(admin_port: int) -> bool:
    """Whether every backend is healthy: one that joins later would restart the round-robin order."""
    try:
        reader, writer = await asyncio.open_connection(HOST, admin_port)
        with closing(writer):
            writer.write(f"GET /status HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            reply = await reader.read()
        status = json.loads(reply.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return False
    states = [backend["state"] for pool in status["pools"] for backend in pool["backends"]]
    return bool(status["ready"]) and states == ["healthy"] * len(states)


def instructions(port: int, admin_port: int, backends: Mapping[str, str], config: Path) -> str:
    front, admin, flaky = f"http://{HOST}:{port}", f"http://{HOST}:{admin_port}", f"http://{backends[FLAKY]}"
    members = "\n".join(f"  {name:14} http://{address}  weight {WEIGHTS[name]}" for name, address in backends.items())
    return f"""
Balance is ready.

  {"balancer":14} {front}
{members}
  {"dashboard":14} {admin}/
  {"configuration":14} {config}

Two minutes with the dashboard open, and another terminal:
1. Six requests, shared 3/2/1; then more, and the lines of its picture have widths:
  for i in 1 2 3 4 5 6; do curl -s {front}/; done
  for i in $(seq 60); do curl -s {front}/; done
2. Make {FLAKY} fail its health checks. Its row says why it is out, and when it may be back; nobody else notices:
  curl -s -X POST {flaky}/fail
  for i in 1 2 3 4 5 6; do curl -s {front}/; done
  curl -s -X POST '{flaky}/fail?on=0'
3. Press Drain beside web/red: it says first what will happen. Enable brings it back.
4. Sticky sessions: {front}/lb in a browser stays at one backend; here with cookies, then without them:
  curl -s -b '' {front}/lb {front}/lb {front}/lb
  curl -s {front}/lb {front}/lb {front}/lb
5. What a backend gets to see, and the same state without a browser:
  curl -s {front}/echo
  curl -s {admin}/status
  curl -s {admin}/metrics

Ctrl-C ends all of it.
"""
