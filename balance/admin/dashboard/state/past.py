"""What has happened: reloads with what they changed, and the latest events."""

from __future__ import annotations

from typing import Any

from balance.admin.dashboard.state.moment import Moment
from balance.config.overrides.difference import difference

Section = dict[str, Any]
MAX_RELOADS = 20
MAX_EVENTS = 50
MAX_LINES = 200  # of what a reload changed


class Past:
    """Differences are made once for each generation."""

    def __init__(self) -> None:
        self._changes: dict[tuple[int, int], str] = {}
        self._events: dict[int, Section] = {}

    def reloads(self, moment: Moment) -> Section:
        """Generations and failed reloads, by a number that rises."""
        view = moment.view
        found: list[tuple[float, Section]] = []
        before = None
        changes, self._changes = self._changes, {}
        for each in view.generations():
            section: Section = {
                "at": round(each.made_at, 1),
                "result": "success",
                "origin": each.origin,
                "generation": each.number,
                "current": each.is_current,
            }
            if each.summary:
                section["summary"] = each.summary
            if before is not None:
                key = before.number, each.number
                text = changes.get(key)
                if text is None:
                    lines = difference(before.config, each.config)
                    more = f"\nand {len(lines) - MAX_LINES} more" if len(lines) > MAX_LINES else ""
                    text = "\n".join(lines[:MAX_LINES]) + more
                self._changes[key] = text
                if text:
                    section["changes"] = text
            before = each
            found.append((each.made_at, section))
        for failed in view.failed_reloads:
            section = {"at": round(failed.at, 1), "result": "failure", "current": False, "problems": "\n".join(failed.problems)}
            if failed.origin:
                section["origin"] = failed.origin
            found.append((failed.at, section))
        found.sort(key=lambda each: each[0])
        return {str(int(at * 1000)): section for at, section in found[-MAX_RELOADS:]}

    def events(self, moment: Moment) -> Section:
        """The latest."""
        known, self._events = self._events, {}
        for event in moment.view.events.since(0)[-MAX_EVENTS:]:
            section = known.get(event.number)
            if section is None:
                section = {"at": round(event.at, 1), "kind": event.kind, "text": event.text}
                section |= {name: event.fields[name] for name in ("pool", "name") if isinstance(event.fields.get(name), str)}
            self._events[event.number] = section
        return {str(number): section for number, section in self._events.items()}
