"""`balance switch`: send the requests of a blue-green route to its other side."""

from __future__ import annotations

from typing import Literal

import click

from balance.cli.admin.admin_options import admin_option, dry_run_option, examples, json_option
from balance.cli.admin.tables import show_outcome
from balance.client import Client


@click.command(
    "switch", epilog=examples("balance switch shop", "balance switch shop blue", "balance switch shop green --force")
)
@click.argument("route")
@click.argument("side", type=click.Choice(["blue", "green"]), required=False)
@click.option("--listener", default="", help="The listener, where several have a route of that name.")
@click.option("--force", is_flag=True, help="Also to a pool of which no backend is ready.")
@dry_run_option
@admin_option
@json_option
def switch_command(
    client: Client, is_json: bool, dry_run: bool, route: str, side: Literal["blue", "green"] | None, listener: str, force: bool
) -> int:
    """Send a route's requests to its other side, or to SIDE: the next request of every connection, in all workers at once. What
    is under way ends where it began. It holds until the file says something new in the route's blue_green."""
    done = client.switch(route, side, listener=listener, force=force, dry_run=dry_run)
    return show_outcome(done, is_json, is_dry_run=dry_run)
