"""Visitors of a site: each comes, looks at some pages over one connection, thinks in between, and leaves. For compose.yaml.

    python visitors.py http://balance:8080 --visitors 20 --seconds 60

Needs Python alone. Their number goes up and down in waves, as a day has them. One line every ten seconds says what they got.
"""

from __future__ import annotations

import argparse
import http.client
import math
import random
import signal
import sys
import threading
import time
import urllib.parse
from collections import Counter

PAGES = (  # how often, method, path
    (40, "GET", "/"),
    (25, "GET", "/api/items"),
    (15, "GET", "/api/items/{number}"),
    (8, "POST", "/api/orders"),
    (5, "GET", "/flaky"),
    (4, "GET", "/search?q=shoes+{number}"),
    (2, "GET", "/missing"),
    (1, "HEAD", "/"),
)
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone)", "curl/8.5", "shop-app/3.1")
WAVE_S = 120.0
REPORT_S = 10.0


class Visitors:
    """Those that come to one address; `outcomes` counts statuses, and what was no reply."""

    def __init__(self, url: str, count: int) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address: write http://HOST:PORT")
        self.parts, self.count = parts, count
        self.outcomes: Counter[str] = Counter()
        self.stopping = threading.Event()

    def run(self, seconds: float | None) -> None:
        """Until that time has passed, or `stopping` is set."""
        threads = [threading.Thread(target=self._again, args=(number,), daemon=True) for number in range(self.count)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds if seconds else math.inf
        while not self.stopping.wait(min(REPORT_S, max(0.0, end - time.monotonic()))) and time.monotonic() < end:
            self.report()
        self.stopping.set()
        for thread in threads:
            thread.join(5)
        self.report()

    def report(self) -> None:
        said = ", ".join(f"{outcome}: {count}" for outcome, count in sorted(self.outcomes.items()))
        print(said or "nothing yet", flush=True)

    def _again(self, number: int) -> None:
        while not self.stopping.is_set():
            share = 0.6 + 0.4 * math.sin(2 * math.pi * time.time() / WAVE_S)
            if (number + 0.5) / self.count > share:
                self.stopping.wait(1)
                continue
            try:
                self._visit()
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[type(error).__name__] += 1
                self.stopping.wait(1)

    def _visit(self) -> None:
        kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.parts.hostname or "", self.parts.port, timeout=15)
        fields = {"User-Agent": random.choice(AGENTS), "Accept": "*/*"}
        try:
            for _ in range(random.randint(1, 12)):
                _, method, path = random.choices(PAGES, [weight for weight, _, _ in PAGES])[0]
                body = b'{"item": 1}' if method == "POST" else None
                connection.request(method, path.format(number=random.randint(1, 999)), body, fields)
                reply = connection.getresponse()
                reply.read()
                self.outcomes[str(reply.status)] += 1
                if cookie := reply.getheader("Set-Cookie"):
                    fields["Cookie"] = cookie.partition(";")[0]
                if self.stopping.wait(random.expovariate(4)):
                    return
        finally:
            connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Visitors of a site, for tries.")
    parser.add_argument("url")
    parser.add_argument("--visitors", type=int, default=20, help="how many at once, at most (20)")
    parser.add_argument("--seconds", type=float, help="for so long; without, until SIGTERM")
    given = parser.parse_args()
    try:
        visitors = Visitors(given.url, max(1, min(given.visitors, 1000)))
    except ValueError as error:
        print(f"visitors: {error}", file=sys.stderr)
        return 2
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: visitors.stopping.set())
    visitors.run(given.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
