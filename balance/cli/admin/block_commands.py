"""`balance block`, `unblock` and `blocklist`: who may not connect, at run time."""

from __future__ import annotations

import click

from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.tables import show, show_json, show_warnings, table
from balance.cli.durations import seconds
from balance.client import Client, OrderResult
from balance.config.schema.units import format_duration


@click.command("block", epilog=examples("balance block 192.0.2.1 --for 10m", "balance block 192.0.2.0/24 2001:db8::/48"))
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--for", "how_long", metavar="DURATION", callback=seconds, help="Like 10m. Without it: until `balance unblock`.")
@admin_option
@json_option
def block_command(client: Client, is_json: bool, addresses: tuple[str, ...], how_long: float | None) -> int:
    """Let nobody connect from these addresses or networks, and cut the connections that they have. It holds in every worker
    within a tenth of a second, through reloads, restarts and upgrades, until its end or that of the instance."""
    return _show(client.block(addresses, "" if how_long is None else format_duration(how_long)), is_json)


@click.command("unblock", epilog=examples("balance unblock 192.0.2.1"))
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@admin_option
@json_option
def unblock_command(client: Client, is_json: bool, addresses: tuple[str, ...]) -> int:
    """End what `balance block` began. What is on a list of the configuration stays there."""
    return _show(client.unblock(addresses), is_json)


@click.command("blocklist", epilog=examples("balance blocklist", "balance blocklist --json"))
@admin_option
@json_option
def blocklist_command(client: Client, is_json: bool) -> int:
    """Show who is blocked at run time and how long yet, and the access lists of each listener."""
    found = client.blocklist()
    if is_json:
        show_json(found.document)
        return 0
    blocked = [
        (each.address, "for ever" if each.ends_in_seconds is None else f"{each.ends_in_seconds:.0f}s") for each in found.blocked
    ]
    show(table(("BLOCKED", "STILL"), blocked) if blocked else ["nobody is blocked at run time"])
    listeners = [
        (each.name, each.allowed_ranges, each.blocked_ranges,
         ", ".join(f"{file.path} ({file.ranges})" for file in each.files), each.refused)
        for each in found.listeners
    ]  # fmt: skip
    show(["", *table(("LISTENER", "ALLOWED", "BLOCKED", "FILES", "REFUSED"), listeners)])
    return 0


def _show(done: OrderResult, is_json: bool) -> int:
    if is_json:
        show_json(done.document)
    else:
        show_warnings(done.warnings)
        show([done.summary])
    return 0
