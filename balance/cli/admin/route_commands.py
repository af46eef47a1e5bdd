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
    """Show every route in the order in which it is tried: what it matches, where it leads, how often it was taken."""
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
    rows = [
        (each["listener"], each["order"], each["name"], each["match"], each["action"], ", ".join(each["policies"]),
         each["hits"], each["last_hit"] and f"{each['last_hit'][:19]}Z")
        for each in routes
    ]  # fmt: skip
    show(table(("LISTENER", "ORDER", "ROUTE", "MATCHES", "LEADS TO", "POLICIES", "HITS", "LAST"), rows))
    return 0
