"""`balance status`, `backends`, `generations`, `events`: show the state of a running instance."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from balance.cli.admin.admin_client import AdminClient
from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.tables import show, show_json, show_refusal, table

RECONNECT_DELAY_S = 1.0  # after the end of an event stream


@click.command("status", epilog=examples("balance status", "balance status --admin 127.0.0.1:9091 --json"))
@admin_option
@json_option
def status_command(port: AdminClient, is_json: bool) -> int:
    """Show how a running instance is doing: processes, listeners, pools."""
    reply = port.request("GET", "/status", expected="stage")
    if not reply.is_done:
        return show_refusal(reply, is_json)
    if is_json:
        show_json(reply.document)
    else:
        show(status_lines(reply.document))
    return 0


def status_lines(document: dict[str, Any]) -> Iterator[str]:
    """What `balance status` prints."""
    ready = "ready" if document["ready"] else "not ready"
    yield f"{document['status']}, {ready}, {document['stage']}: version {document['version']}, up {document['uptime']}"
    yield from (f"  {reason}" for reason in document["reasons"])
    yield f"configuration {document['config']}, generation {document.get('generation', '-')}"
    counted = [("connections", "connections"), ("requests", "HTTP requests"), ("sessions", "TCP sessions")]
    yield "; ".join(f"{said} {document[key]['active']} now, {document[key]['total']} in all" for key, said in counted)
    if store := document.get("redis"):
        reason = f" ({store['reason']})" if store["reason"] else ""
        yield f"Redis {store['url']} {store['state']}{reason}; on_failure {store['on_failure']}"
    if limits := document.get("rate_limits"):
        reason = f" ({limits['reason']})" if limits["reason"] else ""
        yield f"shared rate limits, Redis {limits['url']} {limits['state']}{reason}; on_failure {limits['on_failure']}"
    yield ""
    workers = [
        (each["worker"], each["pid"], each["state"], each["connections"], each["requests"]) for each in document["workers"]
    ]
    yield from table(("WORKER", "PID", "STATE", "CONNECTIONS", "REQUESTS"), workers)
    yield ""
    listeners = [
        (each["name"], each["mode"], ", ".join(each["listen"]), _leads_to(each), _clients(each))
        for each in document["listeners"]
    ]
    yield from table(("LISTENER", "MODE", "ADDRESS", "POOL", "CLIENTS"), listeners)
    yield ""
    pools = [
        (each["name"], each["algorithm"], f"{each['ready']} of {len(each['backends'])}", each["health_check"],
         each["active"], each["requests"], each["sessions"])
        for each in document["pools"]
    ]  # fmt: skip
    yield from table(("POOL", "ALGORITHM", "READY", "CHECK", "NOW", "REQUESTS", "SESSIONS"), pools)


def _leads_to(listener: dict[str, Any]) -> str:
    count: int = listener.get("routes", 0)
    return f"{count} route{'s' * (count != 1)}" if count else str(listener["pool"])


def _clients(listener: dict[str, Any]) -> str:
    limit = listener.get("max_clients")
    return f"{listener.get('connections', '-')}{f' of {limit}' if limit else ''}"


@click.command("backends", epilog=examples("balance backends", "balance backends --json"))
@admin_option
@json_option
def backends_command(port: AdminClient, is_json: bool) -> int:
    """Show every backend: how it stands, why, and what it does."""
    reply = port.request("GET", "/backends", expected="backends")
    if not reply.is_done:
        return show_refusal(reply, is_json)
    if is_json:
        show_json(reply.document)
        return 0
    heads = ("POOL", "NAME", "ADDRESS", "WEIGHT", "STATE", "BREAKER", "ACTIVE", "REQUESTS", "COPIES", "FAILURES", "WHY")
    show(table(heads, backend_rows(reply.document)))
    return 0


def backend_rows(document: dict[str, Any]) -> list[tuple[object, ...]]:
    """The table's rows, one per backend."""
    return [
        (
            each["pool"], each["name"], each["address"], _weight(each), each["state"],
            each["breaker"]["state"] if each["breaker"] else None,
            each["active"], each["requests"], each["copies"], max(each["failures"], each["blamed"]), _why(each),
        )
        for each in document["backends"]
    ]  # fmt: skip


def _weight(backend: dict[str, Any]) -> object:
    """With what else decides what it gets: `3`, `1 backup`, `2 eu`."""
    more = [*(["backup"] if backend["backup"] else []), *([backend["region"]] if backend.get("region") else [])]
    return " ".join([str(backend["weight"]), *more]) if more else backend["weight"]


def _why(backend: dict[str, Any]) -> str | None:
    """The reason of its state, and of its last check if that differs."""
    why: str | None = backend["why"]
    last = backend["last_check"]
    if why and last and not last["ok"] and not why.startswith(last["reason"]):
        return f"{why}; now: {last['reason']}"
    return why


@click.command("generations", epilog=examples("balance generations", "balance generations --json", "balance reload --to 3"))
@admin_option
@json_option
def generations_command(port: AdminClient, is_json: bool) -> int:
    """Show the configurations that are remembered: when each came, by whom and from where, what it changed."""
    reply = port.request("GET", "/config", expected="generations")
    if not reply.is_done:
        return show_refusal(reply, is_json)
    if is_json:
        show_json({"generations": reply.document["generations"]})
        return 0
    rows = [
        (each["generation"], "now" if each["current"] else None, _to_seconds(each["made_at"]), each["origin"], each["source"],
         each.get("summary"))
        for each in reply.document["generations"]
    ]  # fmt: skip
    show(table(("GENERATION", "SERVED", "CAME", "BY", "FROM", "CHANGED"), rows))
    return 0


def _to_seconds(text: str) -> str:
    """An ISO time without fractions of a second."""
    return f"{text[:19]}Z" if text.endswith("+00:00") else text


@click.command("events", epilog=examples("balance events", "balance events --once --json", "balance events --since 0"))
@click.option("--since", metavar="NUMBER", default="0", show_default=True, help="Begin after this event; 0 is all remembered.")
@click.option("--new", is_flag=True, help="Begin with what happens from now on.")
@click.option("--once", is_flag=True, help="Show what is remembered, and stop.")
@admin_option
@json_option
def events_command(port: AdminClient, is_json: bool, since: str, new: bool, once: bool) -> int:
    """Show what happens, as it happens, until Ctrl-C: backends, breakers, reloads, workers, orders."""
    if once:
        reply = port.request("GET", "/events", query={"follow": "false", "since": since}, expected="events")
        if not reply.is_done:
            return show_refusal(reply, is_json)
        for each in reply.document["events"]:
            _show_event(each, is_json)
        return 0
    last = "" if new else since
    while True:
        for number, event in port.events(last):
            last = number
            _show_event({"number": int(number)} | event, is_json)
        time.sleep(RECONNECT_DELAY_S)  # the control process may restart; without an instance the next request fails


def _show_event(event: dict[str, Any], is_json: bool) -> None:
    # click flushes, so that each event is seen at once in a pipe.
    click.echo(json.dumps(event, ensure_ascii=False) if is_json else f"{event['at']} {event['kind']}: {event['text']}")
