"""Formats results as Markdown and inserts them into a page. No I/O."""

from statistics import median

from wire.findings.compare import RIVALS, Findings, added, against_better, cost, p50, problems_of, ratio
from wire.findings.pictures import pictures
from wire.findings.sections import replaced, section
from wire.findings.targets import TARGETS
from wire.idle import Weight
from wire.origin import MB
from wire.running_peers import TWIN, Remarks
from wire.scenarios import SCENARIOS, Question

PICTURES = "pictures"  # the folder beside the page
NAME = "wire"  # of its section
SUBJECTS = ("balance", "compiled", "against")  # who the targets are for

CPU_NOTE = (
    "CPU µs per request: user and system time of the proxy's whole process tree, median over the rounds (min–max). "
    "Ratios are taken inside each round, then their median. A proxy that keeps its core less busy gathers fewer "
    "requests per wake-up, so read the ratios beside `core busy`. In rows of HTTP/2 `-http1` is the same proxy asked over "
    "HTTP/1, by the same load in the same rounds."
)
TARGETS_NOTE = (
    "For the compiled Balance. Measured: the median over the rounds (min–max); ratios are taken inside each round, to "
    "whichever of nginx and HAProxy did better in it, or to Balance's own HTTP/1."
)
LOSSES_NOTE = (
    "CPU µs per request, medians over the rounds, the greatest loss first. Ratios are to whichever of nginx and HAProxy was "
    "cheaper in the same round, 10 MB replies by the byte: median (min–max)."
)
MEMORY_NOTE = (
    "PSS, KB and MB decimal. Per idle connection: growth of the whole tree's PSS, user space only (the kernel's socket "
    "buffers are the same for all); nginx sets its connections' records aside at start. The worker is the process that "
    "holds the connections."
)


def table(head: list[str], rows: list[list[str]], words: int = 2) -> str:
    """The first columns are words, the rest figures."""
    lines = [head, ["---" if column < words else "---:" for column in range(len(head))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def cell(value: float | None, digits: int, unit: str = "") -> str:
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def spread(values: list[float], digits: int) -> str:
    return f"{cell(median(values), digits)} ({cell(min(values), digits)}–{cell(max(values), digits)})"


def targets_table(findings: Findings) -> str:
    measured = {sample.peer for sample in findings.samples} | {weight.peer for weight in findings.weights}
    rows = []
    for peer in (subject for subject in SUBJECTS if subject in measured):
        for target in TARGETS:
            values = target.measure(findings, peer)
            if not values:
                rows.append([target.scenario, peer, target.promise, "–", "not measured"])
                continue
            digits = 1 if target.unit == "µs" else 2
            verdict = "met" if median(values) <= target.limit else "**missed**"
            said = spread(values, digits) if len(values) > 1 else cell(values[0], digits)
            rows.append([target.scenario, peer, target.promise, f"{said} {target.unit}", verdict])
    return table(["row", "proxy", "target", "measured", "verdict"], rows, words=3) if rows else ""


def losses_table(findings: Findings, scenarios: list[str]) -> str:
    """Each subject beside the better of its rivals; rows that one of them did not end well are left out."""
    subjects = [peer for peer in SUBJECTS if any(sample.peer == peer for sample in findings.samples)]
    rows = []
    for name in scenarios:
        ratios = {}
        for peer in subjects:
            if found := against_better(findings, name, peer, cost):
                ratios[peer] = [mine / best for mine, best in found]
        if ratios:
            digits = 0 if SCENARIOS[name].body_bytes >= MB else 2
            of_all = [[sample.cpu_us or 0.0 for sample in findings.rounds_of(name, peer)] for peer in (*RIVALS, *subjects)]
            costs = [cell(median(figures) if figures else None, digits) for figures in of_all]
            said = [spread(ratios[peer], 2) if peer in ratios else "–" for peer in subjects]
            rows.append((-median(list(ratios.values())[-1]), [f"`{name}`", *costs, *said]))
    head = ["row", *RIVALS, *subjects, *(f"{peer} ÷ the better" for peer in subjects)]
    return table(head, [cells for _, cells in sorted(rows)], words=1) if rows else ""


def cpu_table(findings: Findings, scenarios: list[str]) -> str:
    rows = []
    for name in scenarios:
        for peer in findings.peers_of(name):
            rounds = findings.rounds_of(name, peer)
            if problems := problems_of(rounds):
                rows.append([name, peer, f"**INVALID**: {'; '.join(problems)}", *["–"] * 8])
                continue
            costs = [sample.cpu_us or 0.0 for sample in rounds]
            user = median([sample.user_us or 0.0 for sample in rounds])
            large = SCENARIOS[name].body_bytes >= MB
            digits = 0 if large else 2
            rows.append(
                [
                    name,
                    peer,
                    spread(costs, digits),
                    cell(user, digits),
                    cell(median(costs) - user, digits),
                    cell(median([cost(sample) for sample in rounds]) if large else None, 1),
                    cell(ratio(findings, name, peer, "haproxy" + _twin(peer)), 2),
                    cell(ratio(findings, name, peer, "nginx" + _twin(peer)), 2),
                    cell(ratio(findings, name, peer, peer.removesuffix(TWIN) + TWIN), 2),
                    cell(median([sample.requests_per_s for sample in rounds]), 0),
                    cell(median([sample.busy or 0.0 for sample in rounds]) * 100, 0, " %"),
                ]
            )
    head = ["row", "proxy", "CPU µs/request", "user", "system", "µs/MB", "÷ HAProxy", "÷ nginx"]
    return table([*head, "÷ own HTTP/1", "requests/s", "core busy"], rows) if rows else ""


def _twin(peer: str) -> str:
    return TWIN if peer.endswith(TWIN) else ""


def latency_table(findings: Findings, scenarios: list[str]) -> str:
    rows = []
    for name in scenarios:
        for peer in findings.peers_of(name):
            rounds = findings.rounds_of(name, peer)
            if problems := problems_of(rounds):
                rows.append([name, peer, f"**INVALID**: {'; '.join(problems)}", *["–"] * 4])
                continue
            rows.append(
                [
                    name,
                    peer,
                    cell(median([sample.p50_us for sample in rounds]), 0),
                    cell(median([sample.p99_us for sample in rounds]), 0),
                    cell(median([sample.mean_us for sample in rounds]), 1),
                    cell(added(findings, name, peer, "direct", p50), 0),
                    cell(added(findings, name, peer, "haproxy", p50), 0),
                ]
            )
    head = ["row", "way", "p50 µs", "p99 µs", "mean µs", "p50 added to direct", "p50 against HAProxy"]
    return table(head, rows) if rows else ""


def memory_table(weights: tuple[Weight, ...]) -> str:
    rows = []
    for weight in weights:
        if weight.problems:
            rows.append([weight.scenario, weight.peer, f"**INVALID**: {'; '.join(weight.problems)}", *["–"] * 6])
            continue
        for process in weight.processes:
            per_connection = cell(weight.idle_bytes, 0, " B") if process.is_worker else "–"
            megabytes = [process.started_pss, process.loaded_pss, process.loaded_rss, process.crowded_pss]
            title = f"`{process.title}`" + (" (worker)" if process.is_worker else "")
            figures = [cell(size / MB, 2) for size in megabytes]
            rows.append([weight.scenario, weight.peer, title, *figures, f"{weight.connections:,}", per_connection])
    head = ["row", "proxy", "process", "PSS started", "PSS after load", "RSS after load", "PSS crowded", "idle connections"]
    return table([*head, "per connection"], rows, words=3) if rows else ""


def page(findings: Findings, facts: list[str], remarks: Remarks) -> str:
    """All that one run found, ready to be pasted."""
    ran = {sample.scenario for sample in findings.samples}
    of = {question: [n for n, row in SCENARIOS.items() if row.question is question and n in ran] for question in Question}
    loud = [*remarks.failed, *(f"INVALID: {row}" for row in findings.invalid())]
    noise = findings.noisy()
    parts = ["\n".join(f"- {fact}" for fact in facts)]
    if remarks.skipped:
        parts.append("\n".join(f"- skipped: {line}" for line in remarks.skipped))
    if remarks.repeated:
        parts.append("\n".join(["Taken once more, as these failed:", "", *(f"- {line}" for line in remarks.repeated)]))
    if loud:
        parts.append("\n".join(["**NOT A CLEAN RUN**", "", *(f"- {line}" for line in loud)]))
    if noise:
        parts.append(f"{len(noise)} samples were taken on a core that others used as well; the worst: {_worst(findings)}.")
    drawn = pictures(findings)
    for title, body, note, picture in (
        ("Losses first", losses_table(findings, of[Question.CPU]), LOSSES_NOTE, ""),
        ("Targets", targets_table(findings), TARGETS_NOTE, ""),
        ("CPU", cpu_table(findings, of[Question.CPU]), CPU_NOTE, "cpu.svg"),
        ("Latency", latency_table(findings, of[Question.LATENCY]), "", "latency.svg"),
        ("Memory", memory_table(findings.weights), MEMORY_NOTE, "memory.svg"),
    ):
        if body:
            shown = f"![{title}]({PICTURES}/{picture})" if picture in drawn else ""
            parts.append("\n\n".join(filter(None, (f"### {title}", note, shown, body))))
    return "\n\n".join(parts) + "\n"


def _worst(findings: Findings) -> str:
    worst = max(findings.samples, key=lambda sample: sample.others_busy)
    return f"{worst.others_busy:.0%} in {worst.scenario} round {worst.round + 1} {worst.peer}"


def placed(text: str, existing: str) -> str:
    """The page with this section put between its markers, or at its end when it has none."""
    return replaced(existing, NAME, text) or f"{existing.rstrip()}\n\n## On the wire\n\n{section(NAME, text)}\n".lstrip()
