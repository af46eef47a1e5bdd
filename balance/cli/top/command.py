"""`balance top`: a live view where there is a terminal, the same as text or JSON where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from balance.cli.admin.admin_options import admin_option, examples, json_option
from balance.cli.admin.refusals import hint
from balance.cli.admin.tables import show_json
from balance.cli.durations import seconds
from balance.cli.top.feed import Feed, News
from balance.cli.top.orders import Orders
from balance.cli.top.rows import last_whys
from balance.cli.top.screen import plain_lines, screen, table_height
from balance.cli.top.view import Ask, View
from balance.client import Client, ClientError
from balance.client.printable import printable, printable_json

MIN_INTERVAL_S = 0.2
KEY_WAIT_S = 0.1  # how soon news are looked for while nobody presses a key


@click.command(
    "top",
    epilog=examples(
        "balance top",
        "balance top --interval 5s",
        "balance top --once",
        "balance top --once --json",
        "balance top | tee load.txt",
    ),
)
@click.option("--once", is_flag=True, help="Print the state once, and stop.")
@click.option(
    "--interval", "interval_s", metavar="DURATION", default="1s", show_default=True, callback=seconds,
    help="How often it is shown anew.",
)  # fmt: skip
@admin_option
@json_option
def top_command(client: Client, is_json: bool, once: bool, interval_s: float) -> int:
    """Show what a running instance does, as it does it: requests, errors, times, and how each backend stands and why. Keys
    sort, filter, drain; ? lists them. Without a terminal (a pipe, no TERM), or with --once or --json, it prints."""
    if interval_s < MIN_INTERVAL_S:
        raise click.BadParameter(f"{interval_s:g}s is too often; at least {MIN_INTERVAL_S:g}s", param_hint="--interval")
    state = client.state()
    if once:
        _print(client, state, {}, is_json, is_once=True)
        return 0
    if is_json or not _has_terminal():
        return _repeat(client, state, is_json, interval_s)
    return _live(client, state, interval_s)


def _has_terminal() -> bool:
    try:
        from balance.cli.top.terminal import can_be_used
    except ImportError:  # a Python that was built without curses
        return False
    return can_be_used()


def _print(client: Client, state: Mapping[str, Any], whys: Mapping[str, str], is_json: bool, *, is_once: bool = False) -> None:
    if is_json:
        if is_once:
            show_json(dict(state))
        else:
            click.echo(printable_json(state))
        return
    view = View()
    view.update(state, whys or last_whys({}, state, {}))
    for line in plain_lines(view, str(client.access.address), time.time()):
        click.echo(line)


def _repeat(client: Client, state: Mapping[str, Any], is_json: bool, interval_s: float) -> int:
    """Print again and again until somebody ends it. Lost contact is said once, on stderr, and so is its return."""
    whys: Mapping[str, str] = last_whys({}, state, {})
    lost_at = 0.0
    while True:
        if not lost_at:
            _print(client, state, whys, is_json)
            if not is_json:
                click.echo("")
        time.sleep(interval_s)
        try:
            newer = client.state()
        except ClientError as error:
            if not lost_at:
                lost_at = time.time()
                since = time.strftime("%H:%M:%S", time.localtime(lost_at))
                click.echo(f"balance: no contact since {since}: {printable(str(error))}{hint(error)}", err=True)
            continue
        if lost_at:
            click.echo(f"balance: contact is back after {time.time() - lost_at:.0f}s", err=True)
            lost_at = 0.0
        whys, state = last_whys(state, newer, whys), newer


def _live(client: Client, state: Mapping[str, Any], interval_s: float) -> int:
    from balance.cli.top.terminal import opened

    view, orders, where = View(), Orders(client), str(client.access.address)
    view.update(state, last_whys({}, state, {}))
    sys.stdout.flush()
    with Feed(client, state) as feed, opened() as terminal:
        shown = feed.news()
        drawn_at, is_changed = 0.0, True
        while True:
            news, now = feed.news(), time.monotonic()
            if news.note:
                view.message = news.note
            is_due = now - drawn_at >= interval_s
            if is_due and news.number != shown.number:
                view.update(news.state, news.last_whys)
            if is_due or _is_contact_changed(news, shown) or news.note or orders.apply(view) or is_changed:
                shown = news if is_due else news._replace(number=shown.number)
                view.lost, view.lost_at = printable(news.lost), news.lost_at
                width, height = terminal.size
                terminal.draw(screen(view, width, height, time.time(), where))
                drawn_at, is_changed = now if is_due else drawn_at, False
            key = terminal.key(KEY_WAIT_S)
            if not key:
                continue
            is_changed = True
            if key in ("resize", "redraw"):
                terminal.redraw()
                continue
            asked = view.press(key, table_height(view, *terminal.size))
            if asked is Ask.QUIT:
                return 0
            if view.question is not None and asked is not None:
                (orders.preview if asked is Ask.PREVIEW else orders.order)(view.question)


def _is_contact_changed(news: News, shown: News) -> bool:
    return bool(news.lost) != bool(shown.lost)
