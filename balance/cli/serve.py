"""`balance serve`: loads the configuration from a file or flags and runs the balancer."""

from __future__ import annotations

import os
from typing import Any

import click
from click.core import ParameterSource

from balance.config.source import Source
from balance.errors import ConfigError, UnreadableError
from balance.process.ipc.messages import HANDOVER_ENV
from balance.process.operations.load_apart import load_apart

INVALID = 1
UNREADABLE = 2
DEFAULT_FILE = "config.yaml"


@click.command(
    name="serve",
    epilog="""\b
Examples:
  balance serve --config config.yaml
  balance serve --listen :8000 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
  balance serve -port 8000 -backends "http://a:8080,http://b:8081" -health-path /health
""",
)
@click.option(
    "-c", "-config", "--config", "file", metavar="FILE", envvar="BALANCE_CONFIG",
    help=f"The configuration (default: {DEFAULT_FILE}).",
)  # fmt: skip
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Listen here, as :8000 (default: :8080); may be repeated.")
@click.option("-port", "--port", type=click.IntRange(0, 65535), help="Listen on this port: short for --listen :PORT.")
@click.option(
    "-backends", "--backends", "--backend", "backends", multiple=True, metavar="ADDRESS[,ADDRESS...]",
    help="A backend, as 127.0.0.1:9001 or http://host:port; may be repeated.",
)  # fmt: skip
@click.option("-mode", "--mode", help="What clients speak: tcp or http.")
@click.option("-algorithm", "--algorithm", help="How backends are chosen, as round-robin.")
@click.option("--workers", help="Worker processes: a number, or auto for one per CPU.")
@click.option("-health-path", "--health-path", metavar="PATH", help="Check backends with GET PATH.")
@click.option("-health-interval", "--health-interval", metavar="TIME", help="Time between health checks, as 10s.")
@click.option("-health-timeout", "--health-timeout", metavar="TIME", help="How long a health check may take.")
@click.option("-backend-timeout", "--backend-timeout", metavar="TIME", help="How long a backend may be silent.")
@click.option("--admin", metavar="ADDRESS", help="Where health, status and metrics are served.")
@click.option("--log-level", help="debug, info, warning or error.")
@click.option("--watch", is_flag=True, help="Reload whenever the configuration's file has changed.")
@click.argument("path", metavar="[FILE]", required=False)
def serve_command(file: str | None, path: str | None, watch: bool, **flags: Any) -> int:
    """Run the balancer, from a configuration file or from flags alone.

    Without either, $BALANCE_CONFIG names the file, or it is config.yaml. BALANCE_LISTEN, BALANCE_MODE, BALANCE_LOG_LEVEL and
    BALANCE_WORKERS override what the file says.
    """
    ctx = click.get_current_context()
    if path is not None:
        if ctx.get_parameter_source("file") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--config {file} and {path}: one configuration is enough", ctx)
        file = path
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if given and file and (path or ctx.get_parameter_source("file") is ParameterSource.COMMANDLINE):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        hint = "give a file or flags; BALANCE_LISTEN, BALANCE_MODE, BALANCE_LOG_LEVEL and BALANCE_WORKERS override a file"
        raise click.UsageError(f"{file} and {names}: {hint}", ctx)
    if given and not given.get("backends"):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{names} without a backend: add --backend ADDRESS, or name a file instead of flags", ctx)
    if watch and given:
        raise click.UsageError("--watch looks at a file, and there is none beside flags", ctx)
    try:
        loaded = load_apart(lambda: Source.of_flags(given) if given else Source.of_file(file or DEFAULT_FILE))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"balance: {problem}", err=True)
        if HANDOVER_ENV in os.environ:
            from balance.process.operations.upgrade_protocol import report_failure  # loads the event loop, as below

            report_failure(os.environ, "; ".join(map(str, error.problems)))
        if not given and not file and isinstance(error, UnreadableError):
            click.echo("balance: name a file with --config FILE, or give --listen and --backend", err=True)
        return UNREADABLE if isinstance(error, UnreadableError) else INVALID
    from balance.process.instance import serve  # loads the event loop: not before the configuration is good

    return serve(loaded.config, loaded.source, loaded.warnings, watch_config=watch)
