"""`balance autoscaler`: how many backends each pool has and should have, and why."""

from __future__ import annotations

import click

from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.tables import show, show_json, table
from balance.client import Client

NONE = "no pool has an autoscaler: write autoscaler: {enabled: true, ...}"


@click.command("autoscaler", epilog=examples("balance autoscaler", "balance autoscaler shop", "balance autoscaler --json"))
@click.argument("pool", required=False)
@admin_option
@json_option
def autoscaler_command(client: Client, pool: str | None, is_json: bool) -> int:
    """Show how many backends each pool has and should have, by which number, and why nothing is done where nothing is."""
    found = (client.autoscaler(pool),) if pool is not None else client.autoscalers()
    if is_json:
        show_json(found[0].document if pool is not None else {"pools": [each.document for each in found]})
        return 0
    if not found:
        show([NONE])
        return 0
    rows = [
        (each.pool, each.state, each.current, each.desired, f"{each.min}..{each.max}", each.ready, each.metric, each.value,
         each.target, each.driver)
        for each in found
    ]  # fmt: skip
    heads = ("POOL", "STATE", "NOW", "TO BE", "BOUNDS", "READY", "METRIC", "VALUE", "TARGET", "DRIVER")
    show(table(heads, rows))
    show(f"{each.pool}: {each.why}" for each in found)
    return 0
