"""A run as text for people: numbers, the distribution as bars, what went wrong, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from balance.cli.bench.histogram import Histogram, highest_of
from balance.cli.bench.result import BUSY, PERCENTILES, histogram_of, is_short, percentile_name

LABEL: Final = 14
ROWS: Final = 14
ENOUGH_BEYOND: Final = 10  # requests beyond a percentile, for it to say something

ADVICE: Final = {
    "no local port": "this machine has no local port left for that address; closed connections keep theirs for a minute: keep "
    "connections alive, widen net.ipv4.ip_local_port_range, or set net.ipv4.tcp_tw_reuse=1",
    "too many open files": "raise the limit of open files (ulimit -n)",
    "answers HTTP": "the server speaks HTTP: give its URL, http://HOST:PORT/",
    "answers no HTTP": "the server does not speak HTTP: give HOST:PORT without http://, or https:// where it speaks TLS",
    "not what was sent": "the server is no echo: say how long its replies are with --reply-size",
    "timeout": "no whole reply within --timeout; each is in the latencies with the time it waited",
}


def lines(document: Mapping[str, Any], width: int = 80) -> list[str]:
    """The whole report."""
    settings, latency = document["settings"], document["latency_ns"]
    text = [_row("Target", _target(settings)), _row("Load", _load(settings)), _row("Measured", _measured(document)), ""]
    text.append(_row("Requests", f"{document['requests']:,}   {document['requests_per_s']:,.0f}/s{_asked(document)}"))
    if document["elapsed_s"]:
        text.append(_row("Received", f"{_bytes(document['bytes_received'] / document['elapsed_s'])}/s"))
    if document["statuses"]:
        text.append(_row("Statuses", ", ".join(f"{status}: {count:,}" for status, count in document["statuses"].items())))
    histogram = histogram_of(document)
    if histogram.total:
        text += ["", *_latencies(latency, histogram), "", *distribution(histogram, width)]
    text += ["", _row("Errors", "none" if not document["errors"] else "")]
    for kind, count in sorted(document["errors"].items(), key=lambda each: -each[1]):
        text.append(_row("", f"{count:,} x {kind}" + (f": {ADVICE[kind]}" if kind in ADVICE else "")))
    text.append(_row("This tool", _tool(document)))
    return text + [f"Note: {note}" for note in notes(document)]


def notes(document: Mapping[str, Any]) -> list[str]:
    """What a reader must know before he believes a number."""
    found = []
    latency_has = "the latencies have the tool's own delays in them"
    if document["tool"]["busiest"] >= BUSY:
        # In a closed loop against a fast server that is the normal end of it: then the throughput is the tool's.
        found.append(
            f"this tool itself was busy, or waited for a CPU, {document['tool']['busiest']:.0%} of the time: it may be what "
            f"limits the throughput, and {latency_has}; give it more --processes, or a machine of its own"
        )
    late = document["sent_late"]
    if late["requests"]:
        found.append(
            f"{late['requests']:,} requests were sent more than 1 ms late because this tool had no time (at most "
            f"{shown(late['max_ns'])}): {latency_has}"
        )
    if document["waited_for_connection"]:
        found.append(
            f"{document['waited_for_connection']:,} requests waited for a free connection, which is in their latencies; "
            f"-c {document['settings']['connections']} may be too few for this rate"
        )
    if document["never_sent"]:
        found.append(
            f"{document['never_sent']:,} planned requests were never sent, as no connection was free; they are in the latencies"
            " with the time they had waited"
        )
    if is_short(document):
        found.append(f"{document['requests_per_s']:,.0f}/s of the {document['asked_per_s']:,.0f}/s asked for were answered")
    asked, told = document["settings"]["requests"], document["requests"] + sum(document["errors"].values())
    if asked and told < asked and document["settings"]["duration_s"] is None and not document["interrupted"]:
        found.append(f"ended after {told:,} of {asked:,} requests: nobody could be reached for as long as --timeout")
    if document["settings"]["rate"] is None and document["requests"]:
        found.append(
            "closed loop: while the server stalls nothing is sent, so that few requests see it; --rate shows what users see"
        )
    if document["interrupted"]:
        found.append("interrupted: this is what there was")
    return found


def shown(ns: float) -> str:
    """A latency with three digits and its unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size * 0.9995:
            value = ns / size
            return f"{value:.2f} {unit}" if value < 9.995 else f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
    return f"{ns:.0f} ns"


def distribution(histogram: Histogram, width: int) -> list[str]:
    """Rows of equal ratio between the least and the greatest latency: a tail is rows of its own, not one bar of all."""
    low, high = max(histogram.min_ns, 1), max(histogram.max_ns, 2)
    rows = min(ROWS, max(len(histogram.counts), 1))
    ratio = (high / low) ** (1 / rows)
    edges = [low * ratio ** (number + 1) for number in range(rows)]
    edges[-1] = high
    counts = [0] * rows
    place = 0
    for bucket in sorted(histogram.counts):
        while place < rows - 1 and highest_of(bucket) > edges[place]:
            place += 1
        counts[place] += histogram.counts[bucket]
    total, most = histogram.total, max(counts)
    room = max(width - 44, 10)
    text, below = [], 0
    for edge, count in zip(edges, counts, strict=True):
        below += count
        bar = "#" * round(room * count / most) or ("." if count else "")
        text.append(f"  up to {shown(edge):>9} {count:>12,} {below / total:>8.2%}  {bar}".rstrip())
    return text


def _latencies(latency: Mapping[str, int], histogram: Histogram) -> list[str]:
    names = [percentile_name(each) for each in PERCENTILES]
    total = histogram.total
    unsure = {name for name, each in zip(names, PERCENTILES, strict=True) if total * (100 - each) / 100 < ENOUGH_BEYOND}
    text = [
        _row("Latency", f"mean {shown(latency['mean'])}, deviation {shown(latency['deviation'])}, max {shown(latency['max'])}"),
        _row("", "".join(f"{name + ('*' if name in unsure else ''):>11}" for name in names)),
        _row("", "".join(f"{shown(latency[name]):>11}" for name in names)),
    ]
    if unsure:
        text.append(_row("", f"* fewer than {ENOUGH_BEYOND} requests are beyond it: another run may say otherwise"))
    return text


def _row(label: str, text: str) -> str:
    return f"{label:{LABEL}}{text}".rstrip()


def _target(settings: Mapping[str, Any]) -> str:
    method = settings["method"]
    if method is not None:
        return settings["target"] if method == "GET" else f"{method} {settings['target']}"
    return f"{settings['target']}, {settings['size']:,} bytes each"


def _load(settings: Mapping[str, Any]) -> str:
    kind = "closed loop" if settings["rate"] is None else f"open loop at {settings['rate']:,g}/s"
    kept = "kept alive" if settings["keepalive"] else "one for each request"
    return f"{kind}; {settings['connections']:,} connections, {kept}; {_plural(settings['processes'], 'process', 'processes')}"


def _measured(document: Mapping[str, Any]) -> str:
    warmup_s = document["settings"]["warmup_s"]
    return f"{document['elapsed_s']:.2f} s" + (f", after {warmup_s:g} s of warm-up" if warmup_s else "")


def _asked(document: Mapping[str, Any]) -> str:
    asked = document["asked_per_s"]
    return "" if asked is None else f" of {asked:,g}/s asked for"


def _tool(document: Mapping[str, Any]) -> str:
    own = document["tool"]
    cpu_s = own["cpu_user_s"] + own["cpu_system_s"]
    each = f", {cpu_s / document['requests'] * 1e6:.1f} us a request" if document["requests"] else ""
    return f"{cpu_s:.2f} s of CPU ({own['cpu_user_s']:.2f} user, {own['cpu_system_s']:.2f} system){each}"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
