"""What each feature adds to a keep-alive request, as a table of counts that are committed. Does not run valgrind."""

from __future__ import annotations

from collections.abc import Mapping

BEGIN, END = "<!-- costs:begin -->", "<!-- costs:end -->"
PLAIN = "keep-alive, plain"
COMPILED = ", compiled"  # at the end of the name of an interpreter that runs the compiled package
# Scenario, and what a request of it has that a plain one has not.
FEATURES = {
    "keep-alive, everything on": "breaker, passive checks, retries, a limit of connections, a session cookie",
    "keep-alive, one route by host": "one route by host",
    "keep-alive, 1,000 routes": "1,000 routes, of which the last is taken",
    "keep-alive, a route with five stages": "a route with five stages",
    "keep-alive, five stages, one by path": "a route with five stages, of which one goes by the path",
    "keep-alive, access log": "access log, JSON",
    "keep-alive, a rate limit": "a rate limit",
    "keep-alive, a token that is remembered": "a signed token that was verified before",
    "keep-alive, traced, not sampled": "tracing, not sampled",
    "keep-alive, traced and sampled": "tracing, sampled: two spans recorded and encoded",
    "TLS, keep-alive": "TLS 1.3 with the client: records read and written",
    "heads never seen": "no line that was seen before, in the request and in the reply",
}
Counts = Mapping[str, int]


def costs(pure: Counts, compiled: Counts | None) -> str:
    """The table, as Markdown; `compiled` are the counts of the compiled package, if there are any."""
    sides = [pure] if compiled is None else [pure, compiled]
    heads = [head for side in ("Python", "compiled")[: len(sides)] for head in (side, "over plain")]
    rows = [["a keep-alive request", *heads], ["---", *["---:"] * (2 * len(sides))]]
    for scenario, words in {PLAIN: "plain", **FEATURES}.items():
        row = [words]
        for counts in sides:
            count = counts.get(scenario)
            row += ["–", "–"] if count is None else [f"{count:,}", _over(count, counts[PLAIN])]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def placed(section: str, page: str) -> str:
    """`page` with that between its markers. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for it: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def _over(count: int, plain: int) -> str:
    return "–" if count == plain else f"{count - plain:+,} ({(count - plain) / plain:+.0%})"
