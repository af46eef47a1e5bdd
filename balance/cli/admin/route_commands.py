"""`balance routes`: show the routes of a running instance."""

from __future__ import annotations

import click

from balance.cli.admin.admin_client import AdminClient
from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.tables import show, show_json, show_refusal, table

NONE = "no routes: every request goes to its listener's pool"


@click.command("routes", epilog=examples("balance routes", "balance routes --json"))
@admin_option
@json_option
def routes_command(port: AdminClient, is_json: bool) -> int:
    """Show every route and rule in the order in which they are tried: what they match, where they lead, how often."""
    reply = port.request("GET", "/routes", expected="routes")
    if not reply.is_done:
        return show_refusal(reply, is_json)
    if is_json:
        show_json(reply.document)
        return 0
    routes = reply.document["routes"]
    if not routes:
        show([NONE])
        return 0
    rows = []
    for each in routes:
        rows.append(
            (each["listener"], each["order"], each["name"], each["match"], each["action"], ", ".join(each["policies"]),
             each["hits"], _to_the_second(each["last_hit"]))
        )  # fmt: skip
        rows += [
            ("", "", f"  {rule['name']}", f"  {rule['when']}", f"  {rule['action']}", "", rule["hits"],
             _to_the_second(rule["last_hit"]))
            for rule in each.get("rules", ())  # an older instance has none
        ]  # fmt: skip
    show(table(("LISTENER", "ORDER", "ROUTE", "MATCHES", "LEADS TO", "POLICIES", "HITS", "LAST"), rows))
    return 0


def _to_the_second(time: str | None) -> str | None:
    return time and f"{time[:19]}Z"
