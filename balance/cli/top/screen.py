"""The lines of the screen for a view, a width and a height: 80x24 has all that matters. Knows no terminal.

Colour never stands alone: what a colour says, a word or a mark says, too.
"""

from __future__ import annotations

import time
from typing import Final

from balance.cli.top.cells import clipped, count_text, filled, time_text, width_of, wrapped
from balance.cli.top.lines import Line, Span, Style, cut
from balance.cli.top.rows import BackendRow, number, section, text
from balance.cli.top.table import plain_table, table
from balance.cli.top.view import SORT_WORDS, View
from balance.client.printable import printable

PLAIN_WIDTH = 200
LOW = 16  # lines of a window that has room for rows alone


KEYS: Final = "q quit  ? help  / filter  s sort  r reverse  p pools  d drain  e enable  m out"
HELP: Final = (
    "up, down, PgUp, PgDn, Home, End   choose a row (also j k g G)",
    "s, S       sort by the next column, the one before (also < >); r reverses",
    "/          show rows with these words: app unhealthy; Enter keeps, Esc clears",
    "p          pools; Enter on a pool: its backends; Esc: all again",
    "d, e, m    drain, enable, maintenance; it says what will happen and asks",
    "q, Ctrl-C  quit; Ctrl-Z suspends",
    "",
    "CIRC       circuit breaker: closed lets all through, half some, OPEN nothing",
    "SH/DUE%    share of its pool's requests, and what it should have",
    "ACT        requests and sessions under way",
    "ERR/S      tries that failed a second",
    "A row that gets nothing says why instead of its numbers; > marks the chosen one.",
)


def screen(view: View, width: int, height: int, now: float, where: str) -> list[Line]:
    """`height` lines, none wider than `width`. `now`: seconds since the epoch; `where`: the instance's address."""
    if width < 1 or height < 1:
        return []
    top = _top(view, width, now, where)
    bottom = _bottom(view, width, height)
    if height < len(top) + len(bottom) + 2:  # a tiny window: what is most urgent
        urgent = bottom[-1:] if view.question or view.is_typing else []
        lines = [*top[: max(height - len(urgent), 0)], *urgent][:height]
        return lines + [[] for _ in range(height - len(lines))]
    middle_height = height - len(top) - len(bottom)
    middle = _help(width) if view.is_help else table(view, width, middle_height)
    middle = middle[:middle_height]
    return [*top, *middle, *([] for _ in range(middle_height - len(middle))), *bottom]


def table_height(view: View, width: int, height: int) -> int:
    """How many rows are seen."""
    return max(height - 4 - len(_bottom(view, width, height)), 1)


def _top(view: View, width: int, now: float, where: str) -> list[Line]:
    state = view.state
    instance, totals = section(state, "instance"), section(state, "totals")
    started_at = number(instance, "started_at")
    up = f"up {time_text(max((number(state, 'at') or now) - started_at, 0.0))}" if started_at else ""
    healthy = instance.get("healthy") is not False and instance.get("ready") is not False
    words = [
        "healthy" if instance.get("healthy") is not False else "UNHEALTHY",
        "ready" if instance.get("ready") is not False else "NOT READY",
    ]
    if view.lost:
        since = time.strftime("%H:%M:%S", time.localtime(view.lost_at))
        said = f"NO CONTACT since {since} ({time_text(max(now - view.lost_at, 0.0))}): {view.lost}"
        first = [Span(clipped(said, width), Style.BAD)]
    else:
        head = f"balance {text(instance, 'version')} {printable(where)}"
        rest = "  ".join(
            filter(None, [", ".join(words), text(instance, "stage"), up, f"gen {instance.get('generation', '-')}"])
        )
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        left = f"{head}  {rest}"
        blank = width - width_of(left) - len(clock)
        said = f"{left}{' ' * blank}{clock}" if blank > 1 and width < PLAIN_WIDTH else f"{left}  {clock}"
        first = [Span(clipped(said, width), Style.BOLD if healthy else Style.BAD)]
    figures = [
        ("req/s", count_text(number(totals, "requests"))),
        ("tcp/s", count_text(number(totals, "sessions")) if number(totals, "sessions_total") else ""),
        ("4xx/s", count_text(number(totals, "errors_4xx"))),
        ("5xx/s", count_text(number(totals, "errors_5xx"))),
        ("p50", time_text(number(totals, "p50_seconds"))),
        ("p99", time_text(number(totals, "p99_seconds"))),
        ("act", count_text(number(totals, "active_requests"))),
        ("conns", count_text(number(totals, "active_connections"))),
        ("wait", count_text(number(totals, "waiting"))),
    ]
    second: Line = []
    for name, figure in figures:
        if figure:
            second += [Span(f"{name} ", Style.DIM), Span(f"{figure}  ", Style.BOLD)]
    return [first, cut(second, width), [Span(clipped(_summary(view), width))]]


def _summary(view: View) -> str:
    backends = section(view.state, "backends")
    out = sum(1 for each in backends.values() if isinstance(each, dict) and each.get("out") is True)
    pools = section(view.state, "pools")
    dead = [printable(name) for name, each in pools.items() if isinstance(each, dict) and number(each, "ready") == 0]
    parts = [
        f"{len(backends)} backends"
        + (f", {out} OUT" if out else "")
        + f" in {len(pools)} pool"
        + ("" if len(pools) == 1 else "s")
    ]
    if dead:
        parts.append(f"NOBODY READY in {', '.join(dead[:3])}{' ...' if len(dead) > 3 else ''}")
    if view.sort or view.is_reversed:
        parts.append(f"by {SORT_WORDS[view.sort]}{' reversed' if view.is_reversed else ''}")
    if view.pool and not view.is_pools:
        parts.append(f"pool {printable(view.pool)}")
    if view.filter or view.is_typing:
        parts.append(f"{len(view.rows)} match {printable(view.filter)!r}")
    return "  ".join(parts)


def _bottom(view: View, width: int, height: int) -> list[Line]:
    if view.question is not None:
        question = view.question
        if not question.is_asked:
            return [[Span(clipped(f"{question.verb} {question.name}: asking ...", width), Style.WARN)]]
        said = question.preview or "asking what would happen ..."
        lines: list[Line] = [[Span(each)] for each in wrapped(said, width, 4)]
        return [*lines, [Span(clipped(f"{question.verb} {question.name}? y yes, n no", width), Style.WARN)]]
    if view.is_typing:
        return [*_detail(view, width, height), [Span(clipped(f"/{printable(view.filter)}_", width), Style.BOLD)]]
    if view.message:
        return [
            *_detail(view, width, height),
            *([Span(each, Style.BOLD)] for each in wrapped(printable(view.message), width, 3)),
        ]
    return [*_detail(view, width, height), [Span(clipped(KEYS, width), Style.DIM)]]


def _detail(view: View, width: int, height: int) -> list[Line]:
    """All about the chosen row that its columns have no room for; two lines, so that nothing jumps, but in a low window."""
    count = 2 if height >= LOW else 1
    row, parts = view.current, []
    if row is not None:
        parts = [f"{row.name}: {row.reason}" if row.reason else row.name]
    if isinstance(row, BackendRow):
        if row.whys:
            parts.append(f"errors: {row.whys}" + (f" (last {row.last_why})" if row.last_why else ""))
        elif not row.reason:
            parts.append("no errors")
    lines: list[Line] = [[Span(each)] for each in wrapped("; ".join(parts), width, count)]
    return lines + [[] for _ in range(count - len(lines))]


def _help(width: int) -> list[Line]:
    return [
        [Span(filled(" Keys, columns (any key closes this)", width), Style.HEAD)],
        *([Span(clipped(line, width))] for line in HELP),
    ]


def plain_lines(view: View, where: str, now: float) -> list[str]:
    """The same as text for no terminal: all rows, with their reasons."""
    return [*("".join(span.text for span in line).rstrip() for line in _top(view, PLAIN_WIDTH, now, where)), *plain_table(view)]
