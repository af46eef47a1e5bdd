"""`balance routes`: show the routes of a running instance."""

from __future__ import annotations

import click

from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.tables import show, show_json, table, time_text
from balance.client import Client

NONE = "no routes: every request goes to its listener's pool"


@click.command("routes", epilog=examples("balance routes", "balance routes --json"))
@admin_option
@json_option
def routes_command(client: Client, is_json: bool) -> int:
    """Show every route and rule in the order in which they are tried: what they match, where they lead, how often."""
    routes = client.routes()
    if is_json:
        show_json({"routes": [each.document for each in routes]})
        return 0
    if not routes:
        show([NONE])
        return 0
    rows: list[tuple[object, ...]] = []
    for each in routes:
        rows.append(
            (each.listener, each.order, each.name, each.match, each.action, ", ".join(each.policies), each.hits,
             time_text(each.last_hit))
        )  # fmt: skip
        rows += [
            ("", "", f"  {rule.name}", f"  {rule.when}", f"  {rule.action}", "", rule.hits, time_text(rule.last_hit))
            for rule in each.rules
        ]
    show(table(("LISTENER", "ORDER", "ROUTE", "MATCHES", "LEADS TO", "POLICIES", "HITS", "LAST"), rows))
    return 0
