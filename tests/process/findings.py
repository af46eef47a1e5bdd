"""What clients noticed of a backend in trouble, what was promised of it, and both as a table."""

from __future__ import annotations

import collections
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faults import BACKOFF_S, CHECK_S, CHECK_TIMEOUT_S, DOWN_S, FAILURES, PER_TRY_S, WORKERS, Fault
from steady import Story

SLACK_S = 1.0  # what a busy computer may add to a time that is promised
BY_CHECKS_S = 1.1 * (DOWN_S + CHECK_S) + 2 * CHECK_TIMEOUT_S  # jitter, and one that was under way as the machine came back
IN_FLIGHT_S = 0.2  # what was said so soon after the machine came back is about requests that came before


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
    at_ill: list[tuple[float, str]]  # when, and the names of requests that the ill machines have read
    at_backup: list[tuple[float, str]]
    posts_twice: list[str]
    unseen: list[str]
    other_failures: list[str]  # of clients, that belong to no request
    said: list[tuple[float, str]]  # what the log says of the ill machines
    retries: dict[str, float]
    log: str

    @property
    def phases(self) -> dict[str, list[Story]]:
        """The requests that were over before the trouble began, those that met it, and those that began after it."""
        return {
            "before": [each for each in self.stories if each.ended < self.broke],
            "during": [each for each in self.stories if each.ended >= self.broke and each.began < self.back],
            "after": [each for each in self.stories if each.began >= self.back],
        }

    @property
    def recovery_s(self) -> float | None:
        """From when the machine was well again to the first request, begun since then, that it was given."""
        times = [at for at, _ in self.since(self.back, self.at_ill)]
        return min(times) - self.back if times else None

    def since(self, moment: float, read: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
        """Those of them that began after it."""
        began = {story.name: story.began for story in self.stories}
        return [(at, name) for at, name in read if began.get(name, 0.0) >= moment]

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
        child_slots = [story for story in self.stories if story.method == "POST"]
        visible = self.fault.visible
        hurt = [each for each in gets if not is_well(each) and not is_begun(each) and each.status not in visible]
        yield Promise("no GET failed whose reply had not begun", not hurt, told(hurt))
        yield Promise("no POST reached backends twice", not self.posts_twice, ", ".join(self.posts_twice[:5]))
        mute = [each for each in child_slots if not is_well(each) and not says_why(each) and not is_begun(each)]
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
        before, during, _ = self.phases.values()
        if not self.fault.is_failing:
            part = share(during, self.at_ill)
            yield Promise(f"{self.who} got less than a third meanwhile", part < 1 / 3, f"{part:.0%}")
        if self.fault.backup:
            yield Promise(
                "the backup got nothing before", not share(before, self.at_backup), f"{share(before, self.at_backup):.0%}"
            )
            back = self.back + (recovery_s or 0.0) + SLACK_S
            late = self.since(back, self.at_backup)
            yield Promise(f"nor from {SLACK_S:g}s after the others were back", not late and self.ended > back, str(len(late)))
        p99_s = percentile([story for story in during if story.method == "GET"], 99)
        most_s = PER_TRY_S + BACKOFF_S + 1.0
        yield Promise(f"p99 of GETs during it at most {most_s:g}s", p99_s <= most_s, f"{p99_s:.3f}s")

    @property
    def who(self) -> str:
        return " and ".join(self.fault.ill)

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
            rows += [
                (f"{method} {name}, ms", *(f"{percentile(each, rank) * 1000:.1f}" for each in of.values()))
                for name, rank in (("p50", 50), ("p99", 99), ("slowest", 100))
            ]
            failed = {
                name: collections.Counter(kind(each) for each in stories if not is_well(each)) for name, stories in of.items()
            }
            kinds = sorted({word for counter in failed.values() for word in counter})
            rows += [(f"{method} failed: {word}", *(str(each[word]) for each in failed.values())) for word in kinds]
        rows.append((f"share of {self.who}", *(f"{share(stories, self.at_ill):.0%}" for stories in phases.values())))
        if self.fault.backup:
            parts = (share(stories, self.at_backup) for stories in phases.values())
            rows.append((f"share of the backup {self.fault.backup}", *(f"{part:.0%}" for part in parts)))
        lines = [f"{first:<52}" + "".join(f"{cell:>10}" for cell in rest) for first, *rest in rows]
        lines += [f"{word:<52}{count:>10,.0f}" for word, count in self.retries.items()]
        lines.append(f"{'POSTs that reached backends twice':<52}{len(self.posts_twice):>10}")
        recovery_s, (bound_s, why) = self.recovery_s, self.recovery_bound
        took = "never" if recovery_s is None else f"{recovery_s:.2f}"
        lines.append(f"{'s until it got listener_server again':<52}{took:>10}   at most {bound_s:.2f}: {why}")
        lines += ["", f"what Balance said of {self.who}, in seconds since its trouble began:"]
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
        return "cut off in its reply" if story.has_begun else story.said
    return f"{story.status} {why_of(story) or story.said[:40]}"


def told(stories: Sequence[Story]) -> str:
    kinds = collections.Counter(kind(story) for story in stories)
    return ", ".join(f"{count} x {word}" for word, count in kinds.most_common(5))


def percentile(stories: Sequence[Story], rank: int) -> float:
    """Of how long those took that were answered well."""
    times = sorted(story.took_s for story in stories if is_well(story))
    return times[min(len(times) - 1, len(times) * rank // 100)] if times else 0.0


def share(stories: Sequence[Story], read: Sequence[tuple[float, str]]) -> float:
    return len({story.name for story in stories} & {name for _, name in read}) / len(stories) if stories else 0.0
