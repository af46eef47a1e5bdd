"""Draws the findings as bar charts in SVG, for the page of results. No I/O, and no library: bars are rectangles.

Each bar has its figure beside it and each group its name, so nothing is told by colour alone. The text is drawn in the
reader's colour scheme.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from xml.sax.saxutils import escape

from wire.findings.compare import Findings, cost, problems_of
from wire.idle import Weight
from wire.scenarios import SCENARIOS, Question

WIDTH, NAMES, FIGURES = 860, 170, 90  # of the picture, of the column of names, of the room for a figure
BAR, GAP, MARGIN, TITLE, LEGEND = 11, 12, 16, 26, 24
THEIRS = ("nginx", "haproxy")
# Okabe and Ito's, which remain apart for every kind of colour blindness.
COLOURS = {"nginx": "#009e73", "haproxy": "#0072b2", "balance": "#e69f00", "compiled": "#d55e00", "direct": "#999999"}
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 14px; font-weight: 600; }
.figure { font-size: 10px; }
.paper { fill: #ffffff; }
.line { stroke: #1f2328; stroke-width: 1; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .paper { fill: #0d1117; } .line { stroke: #e6edf3; } }"""


@dataclass(frozen=True, slots=True)
class Bar:
    peer: str
    value: float
    figure: str  # as it is written beside it


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one row."""

    name: str
    bars: tuple[Bar, ...]


def pictures(findings: Findings) -> dict[str, str]:
    """Each picture by the name of its file; those for which there is nothing are left out."""
    found = {
        "cpu.svg": ("CPU per request, × the better of nginx and HAProxy in the same round", _cpu(findings), 1.0),
        "latency.svg": ("One connection, one request after the other: p50 and p99, µs", _latency(findings), None),
        "memory.svg": ("An idle keep-alive connection, bytes in user space", _memory(findings.weights), None),
    }
    return {name: _drawn(title, groups, line) for name, (title, groups, line) in found.items() if groups}


def better(findings: Findings, scenario: str) -> dict[int, float]:
    """What the cheaper of nginx and HAProxy cost, by round."""
    costs: dict[int, float] = {}
    for peer in THEIRS:
        rounds = findings.rounds_of(scenario, peer)
        for sample in [] if problems_of(rounds) else rounds:
            costs[sample.round] = min(cost(sample), costs.get(sample.round, float("inf")))
    return costs


def _cpu(findings: Findings) -> list[Group]:
    groups = []
    for name in _measured(findings, Question.CPU):
        least = better(findings, name)
        bars = []
        for peer in findings.peers_of(name):
            rounds = findings.rounds_of(name, peer)
            if peer in COLOURS and not problems_of(rounds) and least.keys() >= {sample.round for sample in rounds}:
                ratio = median([cost(sample) / least[sample.round] for sample in rounds])
                bars.append(Bar(peer, ratio, f"{ratio:.2f}"))
        if bars:
            groups.append(Group(name, tuple(bars)))
    # Losses first: by the last of ours, or of whom there is.
    return sorted(groups, key=lambda group: -group.bars[-1].value)


def _latency(findings: Findings) -> list[Group]:
    groups = []
    for name in _measured(findings, Question.LATENCY):
        for which in ("p50", "p99"):
            bars = []
            for peer in findings.peers_of(name):
                rounds = findings.rounds_of(name, peer)
                if peer in COLOURS and not problems_of(rounds):
                    value = median([sample.p50_us if which == "p50" else sample.p99_us for sample in rounds])
                    bars.append(Bar(peer, value, f"{value:,.0f}"))
            if bars:
                groups.append(Group(f"{name}, {which}", tuple(bars)))
    return groups


def _memory(weights: Iterable[Weight]) -> list[Group]:
    bars: dict[str, list[Bar]] = {}
    for weight in weights:
        if weight.peer in COLOURS and not weight.problems and SCENARIOS[weight.scenario].workers == 1:
            bars.setdefault(weight.scenario, []).append(Bar(weight.peer, weight.idle_bytes, f"{weight.idle_bytes:,.0f}"))
    return [Group(name, tuple(found)) for name, found in bars.items()]


def _measured(findings: Findings, question: Question) -> list[str]:
    ran = {sample.scenario for sample in findings.samples}
    return [name for name, row in SCENARIOS.items() if name in ran and row.question is question]


def _drawn(title: str, groups: Sequence[Group], line: float | None) -> str:
    most = max(bar.value for group in groups for bar in group.bars)
    scale = (WIDTH - NAMES - FIGURES - 2 * MARGIN) / most
    left = MARGIN + NAMES
    peers = list(dict.fromkeys(bar.peer for group in groups for bar in group.bars))
    parts = [f'<text class="title" x="{MARGIN}" y="{MARGIN + 10}">{escape(title)}</text>']
    for place, peer in enumerate(peers):
        x = left + place * 110
        parts.append(f'<rect x="{x}" y="{MARGIN + TITLE}" width="10" height="10" fill="{COLOURS[peer]}"/>')
        parts.append(f'<text x="{x + 15}" y="{MARGIN + TITLE + 10}">{escape(peer)}</text>')
    top = y = MARGIN + TITLE + LEGEND
    for group in groups:
        middle = y + len(group.bars) * BAR / 2 + 4
        parts.append(f'<text x="{left - 10}" y="{middle:g}" text-anchor="end">{escape(group.name)}</text>')
        for bar in group.bars:
            width = bar.value * scale
            parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[bar.peer]}"/>')
            parts.append(f'<text class="figure" x="{left + width + 5:.1f}" y="{y + 8}">{escape(bar.figure)}</text>')
            y += BAR
        y += GAP
    if line is not None:
        x = left + line * scale
        parts.append(f'<path class="line" d="M{x:.1f} {top - 4}V{y - GAP + 4}"/>')
    height = y - GAP + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    )
    paper = f'<rect class="paper" width="{WIDTH}" height="{height}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", paper, *parts, "</svg>", ""])
