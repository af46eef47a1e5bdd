"""docs/TROUBLESHOOTING.md, and the generated parts of docs/OBSERVABILITY.md, from the tables of balance/words.

What lies between `<!-- generated: NAME -->` and `<!-- end of NAME -->` is made here; what stands around it is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from balance.admin.metrics.catalog import SECTIONS
from balance.admin.metrics.definition import Definition
from balance.words.events import EVENTS
from balance.words.labels import LABELS
from balance.words.log_fields import ACCESS_FIELDS, PROCESS_FIELDS, LogField
from balance.words.retries import RETRIES
from balance.words.states import STATES
from balance.words.symptoms import SYMPTOMS, Symptom
from balance.words.whys import WHYS

OBSERVABILITY: Final = "OBSERVABILITY.md"
TROUBLESHOOTING: Final = "TROUBLESHOOTING.md"

_PART: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
_METRIC: Final = re.compile(r"(?<![`\w])((?:balance|process)_\w+)")
_INTRODUCTION: Final = """\
# Troubleshooting

What you see, the first commands, and what to change. `balance explain --write docs` makes this page from the tables in
`balance/words/`; `balance explain WORD` says the same in the terminal. What the words, fields and metrics are is in
[OBSERVABILITY.md](OBSERVABILITY.md).

The commands take the access log as JSON in `access.log`, the program's own log in `balance.log`, the configuration in
`config.yaml` and the admin port at 127.0.0.1:9090:

```yaml
logging:
  output: balance.log
  access_log: {enabled: true, output: access.log}
```

`balance ...` finds an admin port elsewhere as [every command does](OPERATING.md); `curl` needs
`-H "Authorization: Bearer TOKEN"` where the port has tokens. With journald or a container, `journalctl -u balance -o cat` and
`docker logs` stand for the files; `jq -R 'fromjson?'` passes over lines that are no JSON.
"""


def rewrite(folder: Path) -> list[Path]:
    """Make both pages anew in `folder`. Returns those that have changed."""
    page = folder / OBSERVABILITY
    texts = {page: observability(page.read_text(encoding="utf-8")), folder / TROUBLESHOOTING: troubleshooting()}
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        path.write_text(texts[path], encoding="utf-8")
    return changed


def observability(text: str) -> str:
    """The page with its generated parts made anew. ValueError when a part is missing or unknown."""
    found = [match[2] for match in _PART.finditer(text)]
    if sorted(found) != sorted(PARTS):
        raise ValueError(f"{OBSERVABILITY} needs each of the parts {', '.join(PARTS)} once, between its markers")
    return _PART.sub(lambda match: f"{match[1]}{_text(PARTS[match[2]]())}{match[3]}", text)


def troubleshooting() -> str:
    """The page of symptoms."""
    return _text(_troubleshooting())


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _troubleshooting() -> Iterator[str]:
    yield _INTRODUCTION
    yield from (f"- {_link(each)}" for each in SYMPTOMS)
    for symptom in SYMPTOMS:
        yield ""
        yield f"## {_capital(symptom.seen)}"
        yield ""
        yield "```sh"
        yield "\n\n".join(f"# {_capital(look.shows)}\n{look.command}" for look in symptom.looks)
        yield "```"
        if symptom.words:
            yield ""
            rows = [(f"`{why.word}`", WHYS[why].meaning, _code(WHYS[why].look), WHYS[why].change) for why in symptom.words]
            yield from _table(("`why`", "it ended so", "look", "change"), rows)
        if symptom.change:
            yield ""
            yield f"{_capital(symptom.change)}."


def _symptoms() -> Iterator[str]:
    rows = [(_link(each, TROUBLESHOOTING), _code(each.looks[0].command)) for each in SYMPTOMS]
    return _table(("what you see", "first command"), rows)


def _whys() -> Iterator[str]:
    rows = [(f"`{why.word}`", each.meaning, each.whose, each.change) for why, each in WHYS.items()]
    return _table(("word", "it ended so", "whose", "what to do"), rows)


def _retries() -> Iterator[str]:
    return _table(("word", "is", "what to do"), [(f"`{again.word}`", *each) for again, each in RETRIES.items()])


def _states() -> Iterator[str]:
    return _table(("state", "is", "what to do"), [(f"`{state}`", *each) for state, each in STATES.items()])


def _metrics() -> Iterator[str]:
    for number, (title, definitions) in enumerate(SECTIONS):
        yield from ("", f"### {title}", "") if number else (f"### {title}", "")
        yield from _table(("metric", "labels", "is", "what to do"), map(_metric, definitions))
    yield ""


def _metric(definition: Definition) -> tuple[str, str, str, str]:
    labels = ", ".join(f"[`{label}`](#labels)" for label in definition.labels)
    shown = f" Only {definition.shown}." if definition.shown else ""
    return f"`{definition.name}` ({definition.kind})", labels, _names(definition.help) + shown, _names(definition.advice)


def _names(text: str) -> str:
    """The names of metrics in a text, set as code."""
    return _METRIC.sub(r"`\1`", text)


def _labels() -> Iterator[str]:
    return _table(("label", "is"), [(f"`{name}`", text) for name, text in LABELS.items()])


def _events() -> Iterator[str]:
    return _table(("kind", "tells", "fields", "where to look on"), [(f"`{kind}`", *each) for kind, each in EVENTS.items()])


def _fields(fields: dict[str, LogField]) -> Callable[[], Iterator[str]]:
    return lambda: _table(("field", "is", "tells"), [(f"`{name}`", *each) for name, each in fields.items()])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _code(command: str) -> str:
    """A command in a cell: a pipe would end that, so that it is escaped, as GitHub has it in code as well."""
    return "`" + command.replace("|", "\\|") + "`" if command else ""


def _link(symptom: Symptom, page: str = "") -> str:
    return f"[{symptom.seen}]({page}#{anchor(symptom.seen)})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


PARTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "symptoms": _symptoms,
    "metrics": _metrics,
    "labels": _labels,
    "access_fields": _fields(ACCESS_FIELDS),
    "process_fields": _fields(PROCESS_FIELDS),
    "events": _events,
    "whys": _whys,
    "retries": _retries,
    "states": _states,
}
