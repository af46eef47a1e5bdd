"""`balance status`, `backends`, `generations`, `events`: show the state of a running instance.

A column's name means the same in every table: CONNECTIONS and ACTIVE are now; REQUESTS, SESSIONS, TRIES, COPIES and FAILURES
are so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.tables import show, show_json, table, time_text
from balance.client import Backend, Client, Event, Listener, Status
from balance.client.printable import printable, printable_json

PATIENCE_S = 10.0  # enough for a new control process, and for the admin port after an upgrade


@click.command("status", epilog=examples("balance status", "balance status --admin 127.0.0.1:9091 --json"))
@admin_option
@json_option
def status_command(client: Client, is_json: bool) -> int:
    """Show how a running instance is doing: processes, listeners, pools. CONNECTIONS and ACTIVE (requests and sessions under
    way) are now; REQUESTS and SESSIONS are so far."""
    status = client.status()
    if is_json:
        show_json(status.document)
    else:
        show(status_lines(status))
    return 0


def status_lines(status: Status) -> Iterator[str]:
    """What `balance status` prints."""
    document = status.document
    ready = "ready" if status.ready else "not ready"
    yield f"{status.status}, {ready}, {status.stage}: version {status.version}, up {status.uptime}"
    yield from (f"  {reason}" for reason in status.reasons)
    yield f"configuration {status.config}, generation {status.generation}"
    counted = [(status.connections, "connections"), (status.requests, "HTTP requests"), (status.sessions, "TCP sessions")]
    yield "; ".join(f"{said} {count.active} now, {count.total} in all" for count, said in counted)
    if store := document.get("redis"):
        reason = f" ({store['reason']})" if store["reason"] else ""
        yield f"Redis {store['url']} {store['state']}{reason}; on_failure {store['on_failure']}"
    if limits := document.get("rate_limits"):
        reason = f" ({limits['reason']})" if limits["reason"] else ""
        yield f"shared rate limits, Redis {limits['url']} {limits['state']}{reason}; on_failure {limits['on_failure']}"
    yield ""
    workers = [(each.worker, each.pid, each.state, each.connections, each.requests) for each in status.workers]
    yield from table(("WORKER", "PID", "STATE", "CONNECTIONS", "ACTIVE"), workers)
    yield ""
    listeners = [
        (each.name, each.mode, ", ".join(each.listen), _leads_to(each), _connections(each)) for each in status.listeners
    ]
    yield from table(("LISTENER", "MODE", "ADDRESS", "POOL", "CONNECTIONS"), listeners)
    yield ""
    pools = [
        (each.name, each.algorithm, f"{each.ready} of {len(each.backends)}", each.health_check, each.active, each.requests,
         each.sessions)
        for each in status.pools
    ]  # fmt: skip
    yield from table(("POOL", "ALGORITHM", "READY", "CHECK", "ACTIVE", "REQUESTS", "SESSIONS"), pools)
    found = [(each.name, *_discovery(each.discovery)) for each in status.pools if each.discovery]
    if found:
        yield ""
        yield from table(("DISCOVERY OF", "KIND", "STATE", "FOUND", "SOURCE", "WHY"), found)


def _discovery(about: dict[str, Any]) -> tuple[object, ...]:
    failure = about.get("last_failure") or {}
    nobody = "says that there is nobody, and is not believed yet" if about.get("says_nobody") else None
    why = about.get("refused") or failure.get("words") or nobody
    return about.get("kind"), about.get("state"), about.get("endpoints"), about.get("source"), why


def _leads_to(listener: Listener) -> str:
    count = listener.routes
    return f"{count} route{'s' * (count != 1)}" if count else listener.pool


def _connections(listener: Listener) -> str:
    return f"{listener.connections}{f' of {listener.max_clients}' if listener.max_clients else ''}"


@click.command("backends", epilog=examples("balance backends", "balance backends --json"))
@admin_option
@json_option
def backends_command(client: Client, is_json: bool) -> int:
    """Show every backend: how it stands, why, and what it does. ACTIVE is what is under way there now; TRIES so far are
    requests, those that were sent again included, and TCP sessions."""
    backends = client.backends()
    if is_json:
        show_json({"backends": [each.document for each in backends]})
        return 0
    heads = ("POOL", "NAME", "ADDRESS", "WEIGHT", "STATE", "BREAKER", "ACTIVE", "TRIES", "COPIES", "FAILURES", "WHY")
    show(table(heads, backend_rows(backends)))
    return 0


def backend_rows(backends: Iterable[Backend]) -> list[tuple[object, ...]]:
    """The table's rows, one per backend."""
    return [
        (
            each.pool, each.name, each.address, _weight(each), each.state, each.breaker.state if each.breaker else None,
            each.active, each.requests, each.copies, max(each.failures, each.blamed), _why(each),
        )
        for each in backends
    ]  # fmt: skip


def _weight(backend: Backend) -> object:
    """With what else decides what it gets: `3`, `1 backup`, `2 eu`."""
    more = [*(["backup"] if backend.backup else []), *([backend.region] if backend.region else [])]
    return " ".join([str(backend.weight), *more]) if more else backend.weight


def _why(backend: Backend) -> str | None:
    """The reason of its state, and of its last check if that differs."""
    why, last = backend.why, backend.last_check
    if why and last and not last.ok and not why.startswith(last.reason):
        return f"{why}; now: {last.reason}"
    return why


@click.command("generations", epilog=examples("balance generations", "balance generations --json", "balance reload --to 3"))
@admin_option
@json_option
def generations_command(client: Client, is_json: bool) -> int:
    """Show the configurations that are remembered: when each came, by whom and from where, what it changed."""
    generations = client.config().generations
    if is_json:
        show_json({"generations": [each.document for each in generations]})
        return 0
    rows = [
        (each.generation, "now" if each.current else None, time_text(each.made_at), each.origin, each.source, each.summary)
        for each in generations
    ]
    show(table(("GENERATION", "SERVED", "CAME", "BY", "FROM", "CHANGED"), rows))
    return 0


@click.command("events", epilog=examples("balance events", "balance events --once --json", "balance events --since 0"))
@click.option("--since", metavar="NUMBER", default="0", show_default=True, help="Begin after this event; 0 is all remembered.")
@click.option("--new", is_flag=True, help="Begin with what happens from now on.")
@click.option("--once", is_flag=True, help="Show what is remembered, and stop.")
@admin_option
@json_option
def events_command(client: Client, is_json: bool, since: str, new: bool, once: bool) -> int:
    """Show what happens, as it happens, until Ctrl-C: backends, breakers, reloads, workers, orders."""
    if not (since.isascii() and since.isdigit() and len(since) < 20):
        raise click.BadParameter(f"{since[:40]!r} is no event's number; 0 is all that is remembered", param_hint="--since")
    if once:
        for event in client.past_events(int(since)):
            _show_event(event, is_json)
        return 0
    for event in client.events(None if new else int(since), patience_s=PATIENCE_S):  # the control process may restart
        _show_event(event, is_json)
    return 0


def _show_event(event: Event, is_json: bool) -> None:
    # click flushes, so that each event is seen at once in a pipe.
    if is_json:
        click.echo(printable_json(event.document))
    else:
        click.echo(printable(f"{event.at.isoformat(timespec='milliseconds')} {event.kind}: {event.text}"))
