"""The `balance` program: finds the command and formats errors.

A command's module is imported only when that command runs, so that `balance --help` is quick and one command's
missing dependency does not break the others.
"""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

import click

from balance.build_details import BuildDetails
from balance.cli.streams import ensure_standard_streams
from balance.errors import BalanceError
from balance.interpreter import Interpreter
from balance.version import VERSION

INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended: 128 + SIGINT


class CommandEntry(NamedTuple):
    """A command's place, as module:attribute, and its summary in the list of commands."""

    target: str
    summary: str


COMMANDS = {
    "serve": CommandEntry("balance.cli.serve:serve_command", "Run the balancer."),
    "validate": CommandEntry("balance.cli.validate:validate_command", "Check configuration files; name every error."),
    "demo": CommandEntry("balance.cli.demo:demo_command", "Three backends and the balancer, with nothing to set up."),
    "backend": CommandEntry("balance.cli.test_backend.command:backend_command", "Run a small HTTP server to balance over."),
    "healthcheck": CommandEntry("balance.cli.healthcheck:healthcheck_command", "Whether the instance here is healthy."),
    "explain": CommandEntry("balance.cli.explain.command:explain_command", "What a word of the logs and metrics means."),
    "tcp-bench": CommandEntry("balance.cli.bench.command:tcp_bench_command", "How much a TCP server can take."),
    "latency-test": CommandEntry("balance.cli.bench.command:latency_test_command", "How long a server lets clients wait."),
    # What follows talks to a running instance.
    "status": CommandEntry("balance.cli.admin.status_commands:status_command", "How it is doing: processes, listeners, pools."),
    "backends": CommandEntry("balance.cli.admin.status_commands:backends_command", "How every backend stands, and why."),
    "top": CommandEntry("balance.cli.top.command:top_command", "A live view: traffic, backends, why."),
    "generations": CommandEntry(
        "balance.cli.admin.status_commands:generations_command", "The configurations that are remembered."
    ),
    "routes": CommandEntry("balance.cli.admin.route_commands:routes_command", "Every route: what it matches, where it leads."),
    "autoscaler": CommandEntry(
        "balance.cli.admin.autoscaler_command:autoscaler_command", "How many backends each pool should have, and why."
    ),
    "events": CommandEntry("balance.cli.admin.status_commands:events_command", "What happens, as it happens."),
    "drain": CommandEntry("balance.cli.admin.backend_commands:drain_command", "Send nothing new to a backend."),
    "maintenance": CommandEntry("balance.cli.admin.backend_commands:maintenance_command", "Take a backend out."),
    "disable": CommandEntry("balance.cli.admin.backend_commands:disable_command", "The same as maintenance."),
    "enable": CommandEntry("balance.cli.admin.backend_commands:enable_command", "Put a backend back."),
    "weight": CommandEntry("balance.cli.admin.backend_commands:weight_command", "Give a backend another weight."),
    "add": CommandEntry("balance.cli.admin.backend_commands:add_command", "Add a backend."),
    "remove": CommandEntry("balance.cli.admin.backend_commands:remove_command", "Take a backend away."),
    "switch": CommandEntry("balance.cli.admin.switch_command:switch_command", "Send a blue-green route to its other side."),
    "block": CommandEntry("balance.cli.admin.block_commands:block_command", "Let nobody connect from an address."),
    "unblock": CommandEntry("balance.cli.admin.block_commands:unblock_command", "Let an address connect again."),
    "blocklist": CommandEntry("balance.cli.admin.block_commands:blocklist_command", "Who is blocked, and the access lists."),
    "reload": CommandEntry(
        "balance.cli.admin.instance_commands:reload_command", "Read the configuration again, or go back to the last."
    ),
    "diff": CommandEntry("balance.cli.admin.instance_commands:diff_command", "What a reload with a file would change."),
    "restart": CommandEntry("balance.cli.admin.instance_commands:restart_command", "Replace the workers one by one."),
    "upgrade": CommandEntry("balance.cli.admin.instance_commands:upgrade_command", "Hand over to the program installed now."),
    "stop": CommandEntry("balance.cli.admin.instance_commands:stop_command", "Drain it and end it."),
}


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """As the signal would have ended any other process; what serves catches it by itself later."""
    os._exit(128 + signum)


class LazyGroup(click.Group):
    """A click group over COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}."
            raise click.UsageError(f"no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


def _show_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        build = str(BuildDetails.of(os.environ))
        click.echo(f"balance {VERSION}{f' ({build})' if build else ''}\n{Interpreter.here()}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  balance demo
  balance serve --config config.yaml
  balance serve --listen :8000 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
""",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version, whether it is compiled, and the interpreter, and exit.",
)
def cli() -> None:
    """A TCP and HTTP load balancer. `balance COMMAND --help` says more about a command."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. Errors are a line on stderr, never a traceback."""
    if os.getpid() == 1:  # the kernel keeps SIGTERM from process 1 until it has a handler: `docker stop` would be in vain
        signal.signal(signal.SIGTERM, _end)
    sys.exit(run(cli, args))


def run(command: click.Command, args: Sequence[str] | None = None, *, name: str = "balance") -> int:
    """Run one click command to its exit status; a command may return that status as an int."""
    ensure_standard_streams()
    try:
        result = command.main(args, prog_name=name, standalone_mode=False)
        sys.stdout.flush()  # here a closed pipe can be handled; at exit it would be a traceback
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe (`balance --help | head -1`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BalanceError, OSError) as error:
        click.echo(f"{name}: {error}", err=True)
        return 1
    except Exception as error:
        if os.environ.get("BALANCE_TRACEBACK"):
            traceback.print_exc()
        else:
            hint = "this is a bug; BALANCE_TRACEBACK=1 in the environment shows where"
            click.echo(f"{name}: {type(error).__name__}: {error} ({hint})", err=True)
        return 1
    return result if isinstance(result, int) else 0
