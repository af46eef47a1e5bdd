"""`balance drain`, `enable`, `maintenance`, `weight`, `add`, `remove`: change backends of a running instance."""

from __future__ import annotations

import json
from typing import Any

import click

from balance.cli.admin.admin_options import Command, admin_option, dry_run_option, examples, json_option
from balance.cli.admin.tables import show, show_json, show_outcome, show_warnings, state_text
from balance.cli.admin.wait_option import check_wait, wait_drained, wait_options
from balance.cli.main import INTERRUPTED
from balance.client import BackendChange, Client
from balance.client.client import State

WEIGHT = click.IntRange(0, 65535)
WEIGHT.name = "whole number"  # in messages; click's name is `integer range`


def _state_command(verb: str, state: State, says: str, without: str = "", *, ends: bool = True) -> click.Command:
    """A command that sets a state. `ends`: requests in flight end, so that it has --wait."""
    shown = [f"balance {verb} app-1", f"balance {verb} app/app-1 app/app-2"]
    shown += [f"balance {verb} app-1 --wait --timeout 30s"] if ends else []
    shown += [f"balance {verb} app-1 --dry-run"]

    @click.command(verb, help=says, epilog=examples(*shown))
    @click.argument("names", nargs=-1, metavar="NAME...")
    @dry_run_option
    @(wait_options if ends else no_options)
    @admin_option
    @json_option
    def command(
        client: Client,
        is_json: bool,
        names: tuple[str, ...],
        dry_run: bool,
        is_waiting: bool = False,
        timeout: float | None = None,
    ) -> int:
        check_wait(is_waiting, timeout)
        if dry_run and is_waiting:
            raise click.UsageError("--dry-run changes nothing, so there is nothing to --wait for; write one of them")
        names = tuple(dict.fromkeys(names))
        if not names:
            raise click.UsageError(f"say which backend: balance {verb} NAME ('balance backends' lists them){without}")
        for name in names if len(names) > 1 else ():  # check all names before the first change
            client.backend(name)
        changes: list[BackendChange] = []
        try:
            for name in names:
                change = client.change_backend(name, state=state, dry_run=dry_run)
                changes.append(change)
                if not is_json and dry_run:
                    show([f"would be: {change.preview}"])
                    show_warnings(change.warnings)
                elif not is_json:
                    _show_state(change)
            if is_waiting:
                return wait_drained(client, names, timeout, is_json)
        except KeyboardInterrupt:
            if not is_waiting or not changes:
                raise
            those = ", ".join(each.full_name for each in changes)
            click.echo(f"balance: not waiting any more; nothing new goes to {those} until 'balance enable'", err=True)
            return INTERRUPTED
        if is_json:
            documents = [each.document for each in changes]
            show_json(documents[0] if len(documents) == 1 else {"backends": documents})
        return 0

    return command


def no_options(command: Command) -> Command:
    """Adds no options."""
    return command


def _show_state(change: BackendChange) -> None:
    """Print the new state and warnings."""
    show([f"backend {change.full_name} is {state_text(change.state)}"])
    show_warnings(change.warnings)


drain_command = _state_command(
    "drain",
    "drain",
    "Send nothing new to backends; what is under way there ends in peace.",
    "; the whole instance drains and ends by 'balance stop'",
)
maintenance_command = _state_command("maintenance", "maintenance", "Take backends out, as if they were not there.")
disable_command = _state_command("disable", "maintenance", "Take backends out, as 'balance maintenance' does.")
enable_command = _state_command("enable", "enable", "Put backends back that were drained or taken out.", ends=False)


@click.command("weight", epilog=examples("balance weight app-1 3", "balance weight app/app-1 10 --dry-run"))
@click.argument("name")
@click.argument("weight", type=WEIGHT)
@dry_run_option
@admin_option
@json_option
def weight_command(client: Client, is_json: bool, dry_run: bool, name: str, weight: int) -> int:
    """Give a backend another weight, until the file says something new about it. 0: nothing new, while its sessions stay."""
    return show_outcome(client.weight(name, weight, dry_run=dry_run), is_json, is_dry_run=dry_run)


def _values(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, like metadata={{\"rack\": \"r1\"}}", ctx, param)  # fmt: skip
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


@click.command(
    "add",
    epilog=examples("balance add app-3 127.0.0.1:9003", "balance add app-3 127.0.0.1:9003 --pool app --weight 2 --dry-run"),
)
@click.argument("name")
@click.argument("address")
@click.option("--pool", default="", help="The pool that it belongs to, where there are several.")
@click.option("--weight", type=WEIGHT, help="Its share of the traffic, next to the others' weights.")
@click.option(
    "--set", "values", multiple=True, metavar="KEY=VALUE", callback=_values,
    help="Any other key of a backend, as in a file; may be repeated.",
)  # fmt: skip
@dry_run_option
@admin_option
@json_option
def add_command(
    client: Client,
    is_json: bool,
    dry_run: bool,
    name: str,
    address: str,
    pool: str,
    weight: int | None,
    values: dict[str, Any],
) -> int:
    """Add a backend to a running instance, until the file has one of that name."""
    weight = values.pop("weight", None) if weight is None else weight
    pool = pool or values.pop("pool", "")
    for known in ("name", "address", "dry_run"):
        values.pop(known, None)  # said already
    done = client.add_backend(name, address, pool=pool, weight=weight, dry_run=dry_run, **values)
    return show_outcome(done, is_json, is_dry_run=dry_run)


@click.command("remove", epilog=examples("balance remove app-3", "balance remove app/app-3 --dry-run"))
@click.argument("name")
@dry_run_option
@admin_option
@json_option
def remove_command(client: Client, is_json: bool, dry_run: bool, name: str) -> int:
    """Take a backend away from a running instance; what is under way there may end."""
    return show_outcome(client.remove_backend(name, dry_run=dry_run), is_json, is_dry_run=dry_run)
