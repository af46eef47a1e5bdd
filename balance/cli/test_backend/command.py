"""`balance backend`: the command that runs the test backend."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
from collections.abc import Collection

import click

from balance.cli.durations import seconds
from balance.cli.test_backend.pages import Site
from balance.cli.test_backend.server import Connection, listen
from balance.cli.test_backend.tcp_echo import TcpEcho
from balance.errors import StartError


@click.command(
    context_settings={"max_content_width": 100},
    epilog="""\b
Pages:
  /          the name; as JSON where Accept asks for it
  /health    200, or 503 once POST /fail (or GET /fail?on=1) was sent; ?on=0 heals it
  /slow      answers after ?ms=500
  /echo      the request as JSON: method, path, headers, body up to 1 MB
  /bytes     a body of ?n=1024 bytes
  /lb        who answers, as a page for browsers: shows sticky sessions
  /ws        WebSocket echo, with --websocket
  any other  its name, the request's line and header fields, with --catch-all; else 404

\b
Example:
  balance backend --port 9001 --name one --delay 20ms &
  balance backend --port 9002 --name two &
  balance serve --listen :8000 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
""",
)
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Port to listen on; 0 chooses a free one.")
@click.option("--name", default="backend", show_default=True, help="What it calls itself, also in X-Backend.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--delay",
    metavar="DURATION",
    callback=seconds,
    default="0",
    help="Wait before every answer but /health, like 100ms.",
)
@click.option("--fail-rate", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered with 500, like 0.1.")
@click.option("--websocket", is_flag=True, help="Serve the WebSocket echo at /ws.")
@click.option("--catch-all", is_flag=True, help="Serve every other path too: say which request came.")
@click.option("--echo", is_flag=True, help="No HTTP: send back whatever comes, as tcp-bench asks for.")
@click.option(
    "--keepalive-timeout",
    metavar="DURATION",
    callback=seconds,
    default="75s",
    show_default=True,
    help="Close a connection that is idle for so long; 0 closes after every answer.",
)
def backend_command(
    port: int,
    name: str,
    host: str,
    delay: float,
    fail_rate: float,
    websocket: bool,
    catch_all: bool,
    echo: bool,
    keepalive_timeout: float,
) -> None:
    """Run a small HTTP/1.1 server to balance over, until Ctrl-C."""
    if echo and (delay or fail_rate or websocket or catch_all):
        raise click.UsageError("--echo is without HTTP: --delay, --fail-rate, --websocket and --catch-all mean nothing there")
    if not name.isprintable() or not name.isascii() or not name.strip():
        raise click.BadParameter(f"{name!r} must be printable ASCII: it is sent in a header", param_hint="--name")
    site = Site(name, delay_s=delay, fail_rate=fail_rate, websocket=websocket, catch_all=catch_all)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(site, host, port, keepalive_timeout, is_echo=echo))


def new_event_loop() -> asyncio.AbstractEventLoop:
    with contextlib.suppress(ImportError):  # optional here
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


async def serve(site: Site, host: str, port: int, keepalive_timeout_s: float, *, is_echo: bool = False) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    open_connections: Collection[Connection | TcpEcho]
    try:
        if is_echo:
            echoes: set[TcpEcho] = set()
            open_connections = echoes
            server = await asyncio.get_running_loop().create_server(lambda: TcpEcho(echoes), host, port, backlog=1024)
        else:
            server, open_connections = await listen(site, host, port, keepalive_timeout_s)
    except OSError as error:
        raise StartError(cannot_listen(error, host, port)) from None
    where = f"[{host}]" if ":" in host else host
    click.echo(
        f"backend {site.name} listening on {'tcp' if is_echo else 'http'}://{where}:{server.sockets[0].getsockname()[1]}"
    )
    await stop.wait()
    server.close()
    remaining: list[Connection | TcpEcho] = [*open_connections]
    for connection in remaining:
        connection.close()


def cannot_listen(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {host}:{port}: another program does; choose another --port, or 0 for any free one"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
