"""Options that all admin commands share: --admin, --json, --dry-run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from balance.cli.admin.admin_client import DEFAULT, AdminClient

Command = TypeVar("Command", bound=Callable[..., Any])


def admin_option(command: Command) -> Command:
    """--admin."""
    return click.option(
        "--admin", "port", metavar="ADDRESS", envvar="BALANCE_ADMIN", default=DEFAULT, show_default=True,
        callback=lambda ctx, param, value: AdminClient(value), help="The instance's admin port; also BALANCE_ADMIN.",
    )(command)  # fmt: skip


def json_option(command: Command) -> Command:
    """--json."""
    return click.option("--json", "is_json", is_flag=True, help="Print what the instance said, for programs.")(command)


def dry_run_option(command: Command) -> Command:
    """--dry-run."""
    return click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")(command)


def examples(*lines: str) -> str:
    """The examples at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def query(dry_run: bool) -> dict[str, str] | None:
    """The query parameters of a request."""
    return {"dry_run": "true"} if dry_run else None
