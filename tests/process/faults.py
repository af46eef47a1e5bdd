"""One of three backends is in trouble under a steady load, and then it is well again: what clients notice of it.

    with Trouble(FAULTS["kill"], directory) as trouble:
        findings = trouble.run(before_s=1, during_s=3, after_s=2)

What Balance promises is judged by Findings.promises(). What clients see of it depends on the machine, so it is told and not judged.
"""

from __future__ import annotations

import collections
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet import Fleet, Machine
from running import Instance
from steady import PATIENCE_S, Load, Story

ILL = "b2"
WORKERS = 2
LOAD: dict[str, Any] = {"websockets": 0, "download_bytes": 0, "pause_s": 0.01}
SLACK_S = 1.0  # what a busy machine may add to a time that is promised

CHECK_S = 0.4
DOWN_S = 3 * CHECK_S
CHECK_TIMEOUT_S = 0.3
BY_CHECKS_S = 1.1 * (DOWN_S + CHECK_S) + 2 * CHECK_TIMEOUT_S  # jitter, and one that was under way as the machine came back
IN_FLIGHT_S = 0.2  # what was said so soon after the machine came back is about requests that came before
PER_TRY_S = 0.5
BACKOFF_S = 0.1
FAILURES = 5
# What a careful user would write who has three backends and no wish to hear of it when one is in trouble.
CONFIGURED: dict[str, Any] = {
    "mode": "http",
    "listen": "127.0.0.1:0",
    "workers": WORKERS,
    "admin": {"listen": "127.0.0.1:0"},
    "shutdown": {"delay": "0s"},
    "load_balancer": {"algorithm": "least-connections"},
    "health_check": {
        "enabled": True,
        "type": "http",
        "path": "/health",
        "interval": f"{CHECK_S}s",
        "timeout": f"{CHECK_TIMEOUT_S}s",
        "panic_threshold": 50,
        "passive_checks": {"enabled": True, "consecutive_failures": FAILURES, "ejection_time": "1s"},
    },
    "circuit_breaker": {"enabled": True, "failure_threshold": FAILURES, "timeout": "1s"},
    "retry": {
        "enabled": True,
        "max_attempts": 3,
        "per_try_timeout": f"{PER_TRY_S}s",
        "backoff_base": f"{BACKOFF_S}s",
        # With three backends, a third of what is in flight may have to move at once; see BALANCING.md.
        "budget": {"ratio": 1.0},
    },
    "timeouts": {"connect": "500ms", "read": "2s", "request": "10s"},
}


@dataclass(frozen=True)
class Fault:
    """What happens to a machine, and how that ends."""

    title: str
    begin: Callable[[Machine], None]
    end: Callable[[Machine], None]
    retry: dict[str, Any] = field(default_factory=dict)
    visible: tuple[int, ...] = ()  # statuses that the machine answers and that are passed on, also of GETs
    is_failing: bool = True  # else nothing of it is to be noticed but that it takes longer


def _order(mood: str) -> Callable[[Machine], None]:
    return lambda machine: machine.be(mood)


_WELL = _order("well")
_ON_500 = {"on": ["connect", "reset", 500, 502, 503, 504]}

FAULTS = {
    "kill": Fault("killed, and started again on the same port", Machine.kill, Machine.start),
    "freeze": Fault("stopped (SIGSTOP), and goes on", Machine.freeze, Machine.thaw),
    "reset-accept": Fault("resets every connection as soon as there is one", _order("reset-accept"), _WELL),
    "reset-read": Fault("resets every connection once it has read the request", _order("reset-read"), _WELL),
    "errors-503": Fault("answers 503 to everything, at once", _order("status 503"), _WELL),
    "errors-500": Fault("answers 500 to everything, at once; retry.on has 500", _order("status 500"), _WELL, _ON_500),
    "errors-500-unasked": Fault(
        "answers 500 to everything; retry.on is the default", _order("status 500"), _WELL, visible=(500,)
    ),
    "errors-hidden": Fault(
        "answers 500 to everything but its health checks; retry.on has 500", _order("status 500 but-health"), _WELL, _ON_500
    ),
    "slow": Fault("takes ten times as long", _order("slow"), _WELL, is_failing=False),
}


@dataclass(frozen=True)
class Promise:
    what: str
    is_kept: bool
    found: str


@dataclass
class Findings:
    """All that is known when it is over. Times are on the monotonic clock."""

    fault: Fault
    began: float
    broke: float
    back: float
    ended: float
    stories: list[Story]
    at_ill: list[tuple[float, str]]  # when, and the names of requests that the ill machine has read
    posts_twice: list[str]
    unseen: list[str]
    other_failures: list[str]  # of clients, that belong to no request
    said: list[tuple[float, str]]  # what the log says of the ill machine
    retries: dict[str, float]
    log: str

    @property
    def phases(self) -> dict[str, list[Story]]:
        """The requests by when they began."""
        bounds = {"before": (self.began, self.broke), "during": (self.broke, self.back), "after": (self.back, self.ended)}
        return {name: [each for each in self.stories if lo <= each.began < hi] for name, (lo, hi) in bounds.items()}

    @property
    def recovery_s(self) -> float | None:
        """From when the machine was well again to the first request, begun since then, that it was given."""
        began = {story.name: story.began for story in self.stories}
        times = [at for at, name in self.at_ill if began.get(name, 0.0) >= self.back]
        return min(times) - self.back if times else None

    @property
    def recovery_bound(self) -> tuple[float, str]:
        """Within which time that is promised by what is configured, and why."""
        checks = (0.0, "at once")
        times = [checks]
        for at, line in self.said:
            if at > self.back + IN_FLIGHT_S:
                break
            if "is unhealthy" in line:
                checks = (BY_CHECKS_S, f"two good checks, the first after {DOWN_S:g}s, the second {CHECK_S:g}s later, +10 %")
            elif "is healthy" in line:
                checks = times[0]
            elif match := re.search(r"is tried again in ([\d.]+)s|is left alone for ([\d.]+)s", line):
                what = "breaker" if match[1] else "ejection"
                length_s = float(match[1] or match[2])
                times.append((at + length_s - self.back, f"the {what}'s {length_s:g}s"))
        return max(*times, checks)

    def promises(self) -> Iterator[Promise]:
        gets = [story for story in self.stories if story.method == "GET"]
        posts = [story for story in self.stories if story.method == "POST"]
        visible = self.fault.visible
        hurt = [each for each in gets if not is_well(each) and not is_begun(each) and each.status not in visible]
        yield Promise("no GET failed whose reply had not begun", not hurt, told(hurt))
        yield Promise("no POST reached backends twice", not self.posts_twice, ", ".join(self.posts_twice[:5]))
        mute = [each for each in posts if not is_well(each) and not says_why(each) and not is_begun(each)]
        yield Promise("each POST that failed was told why", not mute, told(mute))
        yield Promise("no answer was made up", not self.unseen, ", ".join(self.unseen[:5]))
        yield Promise("nothing else failed", not self.other_failures, ", ".join(self.other_failures[:5]))
        if visible:
            passed_on = [each for each in gets if each.status in visible]
            most = FAILURES * WORKERS + self.trials
            yield Promise(
                f"at most {most} GETs got the machine's own error: {FAILURES} x {WORKERS} workers, {self.trials} trials",
                len(passed_on) <= most,
                str(len(passed_on)),
            )
        recovery_s, (bound_s, why) = self.recovery_s, self.recovery_bound
        yield Promise(
            f"traffic again within {bound_s:.2f}s ({why}) and {SLACK_S:g}s for a busy machine",
            recovery_s is not None and recovery_s <= bound_s + SLACK_S,
            "never" if recovery_s is None else f"{recovery_s:.2f}s",
        )
        during = self.phases["during"]
        if not self.fault.is_failing:
            part = share([story.name for story in during], [name for _, name in self.at_ill])
            yield Promise(f"{ILL} got less than a third meanwhile", part < 1 / 3, f"{part:.0%}")
        p99_s = percentile([story for story in during if story.method == "GET"], 99)
        most_s = PER_TRY_S + BACKOFF_S + 1.0
        yield Promise(f"p99 of GETs during it at most {most_s:g}s", p99_s <= most_s, f"{p99_s:.3f}s")

    @property
    def trials(self) -> int:
        """How often a request was let through to find out."""
        return sum("is half-open" in line or "is returning" in line for _, line in self.said)

    def table(self) -> str:
        phases = self.phases
        rows: list[tuple[str, ...]] = [("", *phases)]
        rows.append(("requests", *(f"{len(stories):,}" for stories in phases.values())))
        for method in ("GET", "POST"):
            of = {name: [each for each in stories if each.method == method] for name, stories in phases.items()}
            for rank in (50, 99):
                rows.append((f"{method} p{rank}, ms", *(f"{percentile(each, rank) * 1000:.1f}" for each in of.values())))
            kinds = sorted({kind(each) for stories in of.values() for each in stories if not is_well(each)})
            for word in kinds:
                counts = (sum(kind(each) == word for each in stories if not is_well(each)) for stories in of.values())
                rows.append((f"{method} failed: {word}", *(str(count) for count in counts)))
        read = [name for _, name in self.at_ill]
        shares = (share([story.name for story in stories], read) for stories in phases.values())
        rows.append((f"share of {ILL}", *(f"{part:.0%}" for part in shares)))
        lines = [f"{first:<52}" + "".join(f"{cell:>10}" for cell in rest) for first, *rest in rows]
        lines += [f"{word:<52}{count:>10,.0f}" for word, count in self.retries.items()]
        lines.append(f"{'POSTs that reached backends twice':<52}{len(self.posts_twice):>10}")
        recovery_s, (bound_s, why) = self.recovery_s, self.recovery_bound
        took = "never" if recovery_s is None else f"{recovery_s:.2f}"
        lines.append(f"{'s until it got traffic again':<52}{took:>10}   at most {bound_s:.2f}: {why}")
        lines += ["", f"what Balance said of {ILL}, in seconds since its trouble began:"]
        lines += [f"  {at - self.broke:+7.2f}  {line}" for at, line in self.said]
        lines.append("")
        lines += [
            f"{'kept  ' if each.is_kept else 'BROKEN'}  {each.what}{f': {each.found}' if each.found else ''}"
            for each in self.promises()
        ]
        return "\n".join(lines)


def is_well(story: Story) -> bool:
    return story.status == 200 and not story.said


def is_begun(story: Story) -> bool:
    """A reply that was cut off."""
    return story.has_begun and story.status == 0


def says_why(story: Story) -> bool:
    """A page of Balance's own, or what the machine itself says."""
    return bool(why_of(story)) or story.said == "the machine is ill"


def why_of(story: Story) -> str:
    with contextlib.suppress(ValueError, TypeError):
        page = json.loads(story.said)
        return str(page.get("why", "")) if story.status in (502, 503, 504) else ""
    return ""


def kind(story: Story) -> str:
    if story.status == 0:
        return f"{'in its reply: ' if story.has_begun else ''}{story.said}"
    return f"{story.status} {why_of(story) or story.said[:40]}"


def told(stories: Sequence[Story]) -> str:
    kinds = collections.Counter(kind(story) for story in stories)
    return ", ".join(f"{count} x {word}" for word, count in kinds.most_common(5))


def percentile(stories: Sequence[Story], rank: int) -> float:
    """Of how long those took that were answered well."""
    times = sorted(story.took_s for story in stories if is_well(story))
    return times[min(len(times) - 1, len(times) * rank // 100)] if times else 0.0


def share(names: Sequence[str], read: Sequence[str]) -> float:
    return len(set(names) & set(read)) / len(names) if names else 0.0


class Trouble:
    """An instance before three machines, and a load."""

    def __init__(self, fault: Fault, directory: Path, *, clients: int = 12, **keys: Any) -> None:
        """A third of the clients make a new connection for each request. `keys` replace those of CONFIGURED."""
        self._fault = fault
        self._directory = directory
        self._clients = {"keeping": clients - clients // 3, "fresh": clients // 3}
        self._keys = keys
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Trouble:
        with self._stack as stack:
            self.fleet = stack.enter_context(Fleet(self._directory))
            self.load = stack.enter_context(Load(recorder=self.fleet, **self._clients, **LOAD))
            backends = [{"name": name, "address": address} for name, address in self.load.addresses.items()]
            keys = CONFIGURED | {"retry": CONFIGURED["retry"] | self._fault.retry} | self._keys
            self.instance = Instance(self._directory, json.dumps(keys | {"backends": backends}))
            stack.callback(self.instance.destroy)
            self.instance.ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, before_s: float, during_s: float, after_s: float) -> Findings:
        """So long well, so long in trouble, and so long after traffic has come back."""
        machine = self.fleet.machines[ILL]
        self.load.begin(self.instance.port)
        began = time.monotonic()
        time.sleep(before_s)
        broke = time.monotonic()
        self._fault.begin(machine)
        time.sleep(during_s)
        self._fault.end(machine)
        back = time.monotonic()
        self._await_traffic(machine, back)
        time.sleep(after_s)
        ended = time.monotonic()
        report = self.load.end()
        own = {f"{story.method} {story.name}" for story in self.load.stories}
        return Findings(
            fault=self._fault,
            began=began,
            broke=broke,
            back=back,
            ended=ended,
            stories=self.load.stories,
            at_ill=[(seen.at, seen.name) for seen in machine.seen()],
            posts_twice=[what for what in report.twice if what.startswith("POST ")],
            unseen=report.unseen,
            other_failures=[each.kind for each in report.failures if " ".join(each.what.split(" ")[:2]) not in own],
            said=list(self._said()),
            retries=self._retries(),
            log=self.instance.log,
        )

    def _await_traffic(self, machine: Machine, back: float) -> None:
        """Until it is given something that began since then, or patience ends."""
        while time.monotonic() < back + PATIENCE_S:
            fresh = {story.name for story in self.load.stories if story.began >= back}
            if any(seen.at >= back and seen.name in fresh for seen in machine.seen()):
                return
            time.sleep(0.05)

    def _said(self) -> Iterator[tuple[float, str]]:
        to_monotonic = time.monotonic() - time.time()
        for line in self.instance.lines:
            stamp, _, rest = line.partition(" ")
            if f"default/{ILL} " in rest:
                yield datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() + to_monotonic, rest

    def _retries(self) -> dict[str, float]:
        found: collections.Counter[str] = collections.Counter()
        for line in self.instance.get("/metrics", self.instance.admin_port)[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("balance_backend_retries_total"):
                found["tries that were made again"] += int(float(value))
            elif match := re.match(r'balance_retries_skipped_total\{reason="(\w+)"\}', name):
                found[f"not made again: {match[1]}"] += int(float(value))
        return {word: count for word, count in found.items() if count}
