"""Options that all admin commands share: --admin and what gets in there, --json, --dry-run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from balance.cli.admin.admin_access import find_access
from balance.cli.admin.refusals import show_error
from balance.client import Client, ClientError
from balance.client.access import DEFAULT

Command = TypeVar("Command", bound=Callable[..., Any])


_KEY = "balance.cli.admin"  # of click's Context.meta: what the options before --admin say


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        assert param.name is not None
        ctx.meta.setdefault(_KEY, {})[param.name] = value


def _find(ctx: click.Context, param: click.Parameter, value: str | None) -> Client:
    return Client.from_access(find_access(value, ctx.meta.get(_KEY, {})))


def admin_option(command: Command) -> Command:
    """--admin, and what gets in there. What the client raises is told, and ends the command."""
    before = (
        ("--config", "FILE", "The instance's configuration, for address, certificate and token; also BALANCE_CONFIG."),
        ("--token-file", "FILE", "A file with a token; also BALANCE_ADMIN_TOKEN_FILE, or BALANCE_ADMIN_TOKEN with the token."),
        ("--ca-file", "FILE", "Who vouches for the port's certificate; also BALANCE_ADMIN_CA_FILE."),
        ("--client-cert", "FILE", "Your certificate and key, in PEM format; also BALANCE_ADMIN_CLIENT_CERT."),
    )
    command = click.option(
        "--admin", "client", metavar="ADDRESS", envvar="BALANCE_ADMIN", callback=_find,
        help=f"The instance's admin port, with TLS https://HOST:PORT; also BALANCE_ADMIN.  [default: {DEFAULT}]",
    )(_told(command))  # fmt: skip
    for name, metavar, text in reversed(before):
        command = click.option(
            name, metavar=metavar, is_eager=True, expose_value=False, callback=_keep, help=text
        )(command)  # fmt: skip
    return command


def _told(command: Command) -> Command:
    @functools.wraps(command)
    def told(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except ClientError as error:
            return show_error(error, options.get("is_json", False))

    return cast(Command, told)


def json_option(command: Command) -> Command:
    """--json."""
    return click.option("--json", "is_json", is_flag=True, help="Print what the instance said, for programs.")(command)


def dry_run_option(command: Command) -> Command:
    """--dry-run."""
    return click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")(command)


def examples(*lines: str) -> str:
    """The examples at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
