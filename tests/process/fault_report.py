"""The report of a backend fault under load: what clients saw, and whether the guarantees held."""

from __future__ import annotations

import collections
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from injected_faults import BACKOFF_S, CHECK_S, CHECK_TIMEOUT_S, DOWN_S, FAILURES, PER_TRY_S, WORKERS, Fault
from steady_load import RequestRecord

SLACK_S = 1.0  # what a busy computer may add to a time that is promised
BY_CHECKS_S = 1.1 * (DOWN_S + CHECK_S) + 2 * CHECK_TIMEOUT_S  # jitter, and one that was under way as the machine came back
IN_FLIGHT_S = 0.2  # what was said so soon after the machine came back is about requests that came before


@dataclass(frozen=True)
class Guarantee:
    what: str
    holds: bool
    found: str
    is_timing: bool = False  # depends on how busy the computer is: the scripts judge it, a test does not


@dataclass
class FaultReport:
    """The measurements. Times are on the monotonic clock."""

    fault: Fault
    began: float
    fault_began: float
    fault_ended: float
    ended: float
    records: list[RequestRecord]
    at_faulty: list[tuple[float, str]]  # when, and the names of requests that the ill machines have read
    at_backup: list[tuple[float, str]]
    duplicated_posts: list[str]
    unseen: list[str]
    other_failures: list[str]  # of clients, that belong to no request
    log_lines: list[tuple[float, str]]  # what the log says of the ill machines
    retries: dict[str, float]
    log: str

    @property
    def phases(self) -> dict[str, list[RequestRecord]]:
        """The requests before, during and after the fault."""
        return {
            "before": [each for each in self.records if each.ended < self.fault_began],
            "during": [each for each in self.records if each.ended >= self.fault_began and each.began < self.fault_ended],
            "after": [each for each in self.records if each.began >= self.fault_ended],
        }

    @property
    def recovery_s(self) -> float | None:
        """From when the machine was well again to the first request, begun since then, that it was given."""
        times = [at for at, _ in self.since(self.fault_ended, self.at_faulty)]
        return min(times) - self.fault_ended if times else None

    def since(self, moment: float, read: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
        """Those of them that began after it."""
        began = {story.name: story.began for story in self.records}
        return [(at, name) for at, name in read if began.get(name, 0.0) >= moment]

    @property
    def recovery_limit(self) -> tuple[float, str]:
        """Within which time that is promised by what is configured, and why."""
        checks = (0.0, "at once")
        times = [checks]
        for at, line in self.log_lines:
            if at > self.fault_ended + IN_FLIGHT_S:
                break
            if "is unhealthy" in line:
                checks = (BY_CHECKS_S, f"two good checks, the first after {DOWN_S:g}s, the second {CHECK_S:g}s later, +10 %")
            elif "is healthy" in line:
                checks = times[0]
            elif match := re.search(r"is tried again in ([\d.]+)s|is left alone for ([\d.]+)s", line):
                what = "breaker" if match[1] else "ejection"
                length_s = float(match[1] or match[2])
                times.append((at + length_s - self.fault_ended, f"the {what}'s {length_s:g}s"))
        return max(*times, checks)

    def guarantees(self) -> Iterator[Guarantee]:
        gets = [story for story in self.records if story.method == "GET"]
        posts = [story for story in self.records if story.method == "POST"]
        visible = self.fault.visible
        hurt = [each for each in gets if not is_success(each) and not is_truncated(each) and each.status not in visible]
        yield Guarantee("no GET failed whose reply had not begun", not hurt, summarize(hurt))
        yield Guarantee("no POST reached backends twice", not self.duplicated_posts, ", ".join(self.duplicated_posts[:5]))
        mute = [each for each in posts if not is_success(each) and not says_why(each) and not is_truncated(each)]
        yield Guarantee("each POST that failed was told why", not mute, summarize(mute))
        yield Guarantee("no answer was made up", not self.unseen, ", ".join(self.unseen[:5]))
        yield Guarantee("nothing else failed", not self.other_failures, ", ".join(self.other_failures[:5]))
        if visible:
            passed_on = [each for each in gets if each.status in visible]
            most = FAILURES * WORKERS + self.trials
            yield Guarantee(
                f"at most {most} GETs got the machine's own error: {FAILURES} x {WORKERS} workers, {self.trials} trials",
                len(passed_on) <= most,
                str(len(passed_on)),
            )
        recovery_s, (bound_s, why) = self.recovery_s, self.recovery_limit
        yield Guarantee("traffic came back", recovery_s is not None, "" if recovery_s is not None else "never")
        yield Guarantee(
            f"traffic again within {bound_s:.2f}s ({why}) and {SLACK_S:g}s for a busy machine",
            recovery_s is not None and recovery_s <= bound_s + SLACK_S,
            "never" if recovery_s is None else f"{recovery_s:.2f}s",
            is_timing=True,
        )
        before, during, _ = self.phases.values()
        if not self.fault.is_failing:
            part = share(during, self.at_faulty)
            yield Guarantee(f"{self.faulty_names} got less than a third meanwhile", part < 1 / 3, f"{part:.0%}")
        if self.fault.backup:
            yield Guarantee(
                "the backup got nothing before",
                not share(before, self.at_backup),
                f"{share(before, self.at_backup):.0%}",
            )
            back = self.fault_ended + (recovery_s or 0.0) + SLACK_S
            late = self.since(back, self.at_backup)
            yield Guarantee(f"nor from {SLACK_S:g}s after the others were back", not late and self.ended > back, str(len(late)))
        p99_s = percentile([story for story in during if story.method == "GET"], 99)
        most_s = PER_TRY_S + BACKOFF_S + 1.0
        yield Guarantee(f"p99 of GETs during it at most {most_s:g}s", p99_s <= most_s, f"{p99_s:.3f}s", is_timing=True)

    @property
    def faulty_names(self) -> str:
        return " and ".join(self.fault.faulty)

    @property
    def trials(self) -> int:
        """How many trial requests were let through."""
        return sum("is half-open" in line or "is returning" in line for _, line in self.log_lines)

    def table(self) -> str:
        phases = self.phases
        rows: list[tuple[str, ...]] = [("", *phases)]
        rows.append(("requests", *(f"{len(records):,}" for records in phases.values())))
        for method in ("GET", "POST"):
            of = {name: [each for each in records if each.method == method] for name, records in phases.items()}
            rows += [
                (f"{method} {name}, ms", *(f"{percentile(each, rank) * 1000:.1f}" for each in of.values()))
                for name, rank in (("p50", 50), ("p99", 99), ("slowest", 100))
            ]
            failed = {
                name: collections.Counter(outcome(each) for each in records if not is_success(each))
                for name, records in of.items()
            }
            kinds = sorted({word for counter in failed.values() for word in counter})
            rows += [(f"{method} failed: {word}", *(str(each[word]) for each in failed.values())) for word in kinds]
        rows.append(
            (f"share of {self.faulty_names}", *(f"{share(records, self.at_faulty):.0%}" for records in phases.values()))
        )
        if self.fault.backup:
            parts = (share(records, self.at_backup) for records in phases.values())
            rows.append((f"share of the backup {self.fault.backup}", *(f"{part:.0%}" for part in parts)))
        lines = [f"{first:<52}" + "".join(f"{cell:>10}" for cell in rest) for first, *rest in rows]
        lines += [f"{word:<52}{count:>10,.0f}" for word, count in self.retries.items()]
        lines.append(f"{'POSTs that reached backends twice':<52}{len(self.duplicated_posts):>10}")
        recovery_s, (bound_s, why) = self.recovery_s, self.recovery_limit
        took = "never" if recovery_s is None else f"{recovery_s:.2f}"
        lines.append(f"{'seconds until it got traffic again':<52}{took:>10}   at most {bound_s:.2f}: {why}")
        lines += ["", f"what Balance said of {self.faulty_names}, in seconds since its trouble began:"]
        lines += [f"  {at - self.fault_began:+7.2f}  {line}" for at, line in self.log_lines]
        lines.append("")
        lines += [
            f"{'kept  ' if each.holds else 'BROKEN'}  {each.what}{f': {each.found}' if each.found else ''}"
            for each in self.guarantees()
        ]
        return "\n".join(lines)


def is_success(story: RequestRecord) -> bool:
    return story.status == 200 and not story.detail


def is_truncated(story: RequestRecord) -> bool:
    """A reply that was cut off."""
    return story.has_begun and story.status == 0


def says_why(story: RequestRecord) -> bool:
    """A page of Balance's own, or what the machine itself says."""
    return bool(why_of(story)) or story.detail == "injected error"


def why_of(story: RequestRecord) -> str:
    with contextlib.suppress(ValueError, TypeError):
        page = json.loads(story.detail)
        return str(page.get("why", "")) if story.status in (502, 503, 504) else ""
    return ""


def outcome(story: RequestRecord) -> str:
    if story.status == 0:
        return "cut off in its reply" if story.has_begun else story.detail
    return f"{story.status} {why_of(story) or story.detail[:40]}"


def summarize(records: Sequence[RequestRecord]) -> str:
    kinds = collections.Counter(outcome(story) for story in records)
    return ", ".join(f"{count} x {word}" for word, count in kinds.most_common(5))


def percentile(records: Sequence[RequestRecord], rank: int) -> float:
    """Of how long those took that were answered well."""
    times = sorted(story.took_s for story in records if is_success(story))
    return times[min(len(times) - 1, len(times) * rank // 100)] if times else 0.0


def share(records: Sequence[RequestRecord], read: Sequence[tuple[float, str]]) -> float:
    return len({story.name for story in records} & {name for _, name in read}) / len(records) if records else 0.0
