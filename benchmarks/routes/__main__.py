"""`python3 benchmarks/routes`: what finding the route of a request costs with 10, 1,000 and 10,000 routes, in nanoseconds.

The minimum of many repeats: what the code costs when nothing disturbs it. Requests are for a route in the middle of the file,
and for none of them. Run it with the interpreter that runs Balance.
"""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))  # the checkout's own package, whatever is installed

from balance.config.route_model import RouteMatch
from balance.http1.head import RequestFields
from balance.routing.request_view import RequestView
from balance.routing.route_choice import RouteChoice

COUNTS = (10, 1_000, 10_000)
RUN_S = 0.005  # short enough that some runs are left in peace on a machine that has other work


def by_host(number: int) -> RouteMatch:
    return RouteMatch(host=f"site{number}.example.org")


def by_wildcard(number: int) -> RouteMatch:
    return RouteMatch(host=f"*.site{number}.example.org")


def by_exact_path(number: int) -> RouteMatch:
    return RouteMatch(path_operator="exact", path=f"/team/service{number}/health")


def by_prefix(number: int) -> RouteMatch:
    return RouteMatch(path_operator="prefix", path=f"/team/service{number}")


def by_host_and_prefix(number: int) -> RouteMatch:
    return RouteMatch(host=f"site{number % 100}.example.org", path_operator="prefix", path=f"/team/service{number}")


def with_priorities(number: int) -> RouteMatch:
    return RouteMatch(path_operator="prefix", path=f"/team/service{number}", priority=number)


# Routes, and the host and path of a request for the one of that number
KINDS: dict[str, tuple[Callable[[int], RouteMatch], str, str]] = {
    "hosts": (by_host, "site{0}.example.org", "/index.html"),
    "wildcards": (by_wildcard, "www.site{0}.example.org", "/index.html"),
    "exact paths": (by_exact_path, "example.org", "/team/service{0}/health"),
    "prefixes": (by_prefix, "example.org", "/team/service{0}/users/42"),
    "hosts and prefixes": (by_host_and_prefix, "site{1}.example.org", "/team/service{0}/users/42"),
    "prefixes, each with a priority": (with_priorities, "example.org", "/team/service{0}/users/42"),
}


def measure(call: Callable[[], object], seconds: float) -> float:
    """Nanoseconds a call: the best of many short runs that together take about `seconds`."""
    timer = timeit.Timer(call)
    number = 1
    while (taken := timer.timeit(number)) < RUN_S / 2:
        number *= 2
    repeats = max(3, int(seconds / max(taken, RUN_S / 2)))
    return min(timer.repeat(repeats, number)) / number * 1e9


def finding(choice: RouteChoice, host: str, path: str, expected: int) -> Callable[[], object]:
    """The look-up of one request, once it has found what it should."""
    raw = path.encode()
    view = RequestView(RequestFields(), raw)
    assert choice.choose(view, host, b"GET", raw) == (expected, raw)
    return lambda: choice.choose(view, host, b"GET", raw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure (default 0.3)")
    options = parser.parse_args()
    print("| routes by | request | " + " | ".join(f"{count:,}" for count in COUNTS) + " |")
    print("| --- | --- | " + " | ".join("---:" for _ in COUNTS) + " |")
    for kind, (match, host, path) in KINDS.items():
        for request in ("the middle one", "none"):
            figures = []
            for count in COUNTS:
                number = count // 2 if request == "the middle one" else 1_000_000
                expected = number if request == "the middle one" else -1
                choice = RouteChoice([match(each) for each in range(count)])
                call = finding(choice, host.format(number, number % 100), path.format(number), expected)
                figures.append(measure(call, options.seconds))
            print(f"| {kind} | {request} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
