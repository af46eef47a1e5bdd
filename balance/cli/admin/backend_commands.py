"""`balance drain`, `enable`, `maintenance`, `weight`, `add`, `remove`: change backends of a running instance."""

from __future__ import annotations

import json
from typing import Any

import click

from balance.cli.admin.admin_client import AdminClient, backend_path
from balance.cli.admin.admin_options import Command, admin_option, dry_run_option, examples, json_option, query
from balance.cli.admin.tables import show_json, show_outcome, show_refusal, show_warnings
from balance.cli.admin.wait_option import check_wait, wait_drained, wait_options
from balance.cli.main import INTERRUPTED

WEIGHT = click.IntRange(0, 65535)
WEIGHT.name = "whole number"  # in messages; click's name is `integer range`


def _state_command(verb: str, state: str, says: str, without: str = "", *, ends: bool = True) -> click.Command:
    """A command that sets a state. `ends`: requests in flight end, so that it has --wait."""
    shown = [f"balance {verb} app-1", f"balance {verb} app/app-1 app/app-2"]
    shown += [f"balance {verb} app-1 --wait --timeout 30s"] if ends else []

    @click.command(verb, help=says, epilog=examples(*shown))
    @click.argument("names", nargs=-1, metavar="NAME...")
    @(wait_options if ends else no_options)
    @admin_option
    @json_option
    def command(
        port: AdminClient, is_json: bool, names: tuple[str, ...], is_waiting: bool = False, timeout: float | None = None
    ) -> int:
        check_wait(is_waiting, timeout)
        names = tuple(dict.fromkeys(names))
        if not names:
            raise click.UsageError(f"say which backend: balance {verb} NAME ('balance backends' lists them){without}")
        for name in names if len(names) > 1 else ():  # check all names before the first change
            if not (reply := port.request("GET", backend_path(name))).is_done:
                return show_refusal(reply, is_json)
        replies: list[dict[str, Any]] = []
        try:
            for name in names:
                reply = port.request("PATCH", backend_path(name), {"state": state}, expected="state")
                if not reply.is_done:
                    return show_refusal(reply, is_json)
                replies.append(reply.document)
                if not is_json:
                    _show_state(reply.document)
            if is_waiting:
                return wait_drained(port, names, timeout, is_json)
        except KeyboardInterrupt:
            if not is_waiting or not replies:
                raise
            those = ", ".join(f"{each['pool']}/{each['name']}" for each in replies)
            click.echo(f"balance: not waiting any more; nothing new goes to {those} until 'balance enable'", err=True)
            return INTERRUPTED
        if is_json:
            show_json(replies[0] if len(replies) == 1 else {"backends": replies})
        return 0

    return command


def no_options(command: Command) -> Command:
    """Adds no options."""
    return command


def _show_state(document: dict[str, Any]) -> None:
    """Print the new state and warnings."""
    match document["state"]:
        case "unknown":
            text = "enabled: the next check decides"
        case "unchecked":
            text = "enabled"
        case "maintenance":
            text = "in maintenance"
        case word:
            text = word
    click.echo(f"backend {document['pool']}/{document['name']} is {text}")
    show_warnings(document)


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
def weight_command(port: AdminClient, is_json: bool, dry_run: bool, name: str, weight: int) -> int:
    """Give a backend another weight, until the file says something new about it. 0: nothing new, while its sessions stay."""
    reply = port.request("PATCH", backend_path(name), {"weight": weight}, query(dry_run), expected="done")
    return show_outcome(reply, is_json, is_dry_run=dry_run)


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
    port: AdminClient,
    is_json: bool,
    dry_run: bool,
    name: str,
    address: str,
    pool: str,
    weight: int | None,
    values: dict[str, Any],
) -> int:
    """Add a backend to a running instance, until the file has one of that name."""
    body = (
        values
        | {"name": name, "address": address}
        | ({"pool": pool} if pool else {})
        | ({"weight": weight} if weight is not None else {})
    )
    return show_outcome(port.request("POST", "/backends", body, query(dry_run), expected="done"), is_json, is_dry_run=dry_run)


@click.command("remove", epilog=examples("balance remove app-3", "balance remove app/app-3 --dry-run"))
@click.argument("name")
@dry_run_option
@admin_option
@json_option
def remove_command(port: AdminClient, is_json: bool, dry_run: bool, name: str) -> int:
    """Take a backend away from a running instance; what is under way there may end."""
    return show_outcome(
        port.request("DELETE", backend_path(name), query=query(dry_run), expected="done"), is_json, is_dry_run=dry_run
    )
