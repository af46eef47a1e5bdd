"""Which entries of the tables a word names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from balance.admin.metrics.catalog import CATALOG
from balance.grpc.statuses import RETRIABLE, name_of
from balance.words.alerts import ALERTS
from balance.words.events import EVENTS
from balance.words.labels import LABELS
from balance.words.log_fields import ACCESS_FIELDS, PROCESS_FIELDS
from balance.words.retries import RETRIES
from balance.words.states import STATES
from balance.words.symptoms import SYMPTOMS, Symptom
from balance.words.whys import WHYS

# The words that a field may have, each of which is explained itself.
_VALUES = {"why": ", ".join(why.word for why in WHYS), "retry": ", ".join(again.word for again in RETRIES)}


class Explanation(NamedTuple):
    """One entry: what kind of word it is, its meaning, and named remarks."""

    kind: str
    word: str
    meaning: str
    remarks: tuple[tuple[str, str], ...] = ()


def explain(word: str) -> list[Explanation]:
    """All that goes by this name; where nothing does, symptoms of which it is a part."""
    exact = [each for each in entries() if each.word == word]
    return exact or [_symptom(symptom) for symptom in SYMPTOMS if word.lower() in _words(symptom.seen)]


def close_to(word: str) -> list[str]:
    """Names that may have been meant."""
    return get_close_matches(word, {each.word for each in entries()}, 3)


def entries() -> Iterator[Explanation]:
    """Every entry but the symptoms."""
    for why, of_why in WHYS.items():
        remarks = (("whose", of_why.whose), ("look", of_why.look), ("change", of_why.change))
        yield Explanation("why", why.word, of_why.meaning, remarks)
    for again, of_retry in RETRIES.items():
        yield Explanation("retry", again.word, of_retry.meaning, (("change", of_retry.change),))
    for status in RETRIABLE.values():
        name = name_of(status)
        meaning = f"the backend ended the call with {name}, which `retry.on` lists, and it was sent again"
        yield Explanation("word of tries", f"grpc_{name.lower()}", meaning, (("change", "what that server says of it"),))
    for state, of_state in STATES.items():
        yield Explanation("state of a backend", state, of_state.meaning, (("change", of_state.change),))
    for kind, fields in (("field of the access log", ACCESS_FIELDS), ("field of the log", PROCESS_FIELDS)):
        for name, field in fields.items():
            yield Explanation(kind, name, field.meaning, (("tells", field.use), ("words", _VALUES.get(name, ""))))
    for name, event in EVENTS.items():
        yield Explanation("event", name, event.meaning, (("fields", event.fields), ("look", event.look)))
    for name, alert in ALERTS.items():
        yield Explanation(f"alert ({alert.severity})", name, alert.meaning, (("first", alert.first),))
    for metric in CATALOG:
        about = (("labels", ", ".join(metric.labels)), ("shown", metric.shown), ("change", metric.advice))
        yield Explanation(f"metric ({metric.kind})", metric.name, metric.help, about)
    for name, text in LABELS.items():
        yield Explanation("label", name, text)


def _words(seen: str) -> set[str]:
    return set(re.findall(r"[\w/]+", seen.lower()))


def _symptom(symptom: Symptom) -> Explanation:
    looks = tuple(("look", f"{look.command}   # {look.shows}") for look in symptom.looks)
    words = (("words", ", ".join(why.word for why in symptom.words)),) if symptom.words else ()
    return Explanation("symptom", symptom.seen, "", (*looks, *words, ("change", symptom.change)))
