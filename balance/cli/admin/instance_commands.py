"""`balance reload`, `diff`, `restart`, `upgrade`, `stop`: operate a running instance."""

from __future__ import annotations

import sys

import click

from balance.cli.admin.admin_options import admin_option, dry_run_option, examples, json_option
from balance.cli.admin.stop_wait import stop_and_wait
from balance.cli.admin.tables import show, show_json, show_outcome
from balance.cli.admin.wait_option import check_wait, wait_options
from balance.client import Client, ConflictError, OrderResult


@click.command(
    "reload",
    epilog=examples(
        "balance reload",
        "balance reload --dry-run",
        "balance reload --rollback",
        "balance reload --to 3",
        "balance reload --discard-changes",
    ),
)
@click.option("--rollback", is_flag=True, help="Go back to the last configuration that differs, instead of reading the file.")
@click.option(
    "--to", type=click.IntRange(1), metavar="GENERATION", help="Go back to this one, as `balance generations` numbers them."
)
@click.option("--discard-changes", is_flag=True, help="Forget what was changed at run time.")
@dry_run_option
@admin_option
@json_option
def reload_command(client: Client, is_json: bool, dry_run: bool, rollback: bool, to: int | None, discard_changes: bool) -> int:
    """Have a running instance read its configuration again. All or nothing: a wrong file changes nothing."""
    done = client.reload(rollback=to or rollback, discard_changes=discard_changes, dry_run=dry_run)
    return show_outcome(done, is_json, is_dry_run=dry_run)


@click.command("diff", epilog=examples("balance diff config.yaml", "cat config.yaml | balance diff -"))
@click.argument("file")
@admin_option
@json_option
def diff_command(client: Client, is_json: bool, file: str) -> int:
    """Say what a running instance would change if that file were its configuration. Changes nothing."""
    if file == "-":
        text = sys.stdin.buffer.read()
    else:
        try:
            with open(file, "rb") as opened:
                text = opened.read()
        except OSError as error:
            click.echo(f"balance: {file}: can't be read: {error.strerror}", err=True)
            return 1
    try:
        done = client.diff(text)
    except ConflictError as error:
        if not is_json:
            _rename(error, file)
        raise
    return show_outcome(done, is_json, is_dry_run=True)


def _rename(error: ConflictError, file: str) -> None:
    """Replace the instance's file name in problems by that of the given file."""
    source = f"{error.document.get('source')}:"
    error.problems = tuple(
        f"{file}:{each.removeprefix(source)}" if each.startswith(source) else each for each in error.problems
    )


@click.command("restart", epilog=examples("balance restart"))
@admin_option
@json_option
def restart_command(client: Client, is_json: bool) -> int:
    """Replace the workers of a running instance one by one, without losing a connection."""
    return _begun(client.restart(), is_json, "the workers are replaced one by one")


@click.command("upgrade", epilog=examples("balance upgrade"))
@admin_option
@json_option
def upgrade_command(client: Client, is_json: bool) -> int:
    """Have a running instance hand over to the program that is installed now, without losing a connection."""
    return _begun(client.upgrade(), is_json, "the new program takes over")


@click.command("stop", epilog=examples("balance stop", "balance stop --wait --timeout 1m"))
@wait_options
@admin_option
@json_option
def stop_command(client: Client, is_json: bool, is_waiting: bool, timeout: float | None) -> int:
    """Drain a running instance and end it, as SIGTERM does.

    With --wait the exit status is 0 when it has ended by itself, 1 when the end of the drain has cut something, or the time
    was up.
    """
    check_wait(is_waiting, timeout)
    if is_waiting:
        return stop_and_wait(client, timeout, is_json)
    return _begun(client.stop(), is_json, "it drains and ends")


def _begun(done: OrderResult, is_json: bool, otherwise: str) -> int:
    if is_json:
        show_json(done.document)
    else:
        show([done.summary or otherwise])
    return 0
