"""Reads a Dockerfile and a .dockerignore, as far as ours use them; an instruction that it does not know is an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER", "WORKDIR",
}  # fmt: skip
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_PAIR = re.compile(r'(\S+?)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


class Instruction(NamedTuple):
    """One of them: its name, its --options, and the rest as it is written."""

    name: str
    options: Mapping[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.split()

    @property
    def command(self) -> list[str]:
        """In exec form; of a shell form there is none."""
        words = json.loads(self.text)
        assert isinstance(words, list)
        return words

    def pairs(self, known: Mapping[str, str]) -> dict[str, str]:
        """Of ENV and LABEL. Values may name variables."""
        return {name: substituted(quoted or plain, known) for name, quoted, plain in _PAIR.findall(self.text)}


class Stage(NamedTuple):
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction]

    def one(self, name: str) -> Instruction:
        """The only one of that name."""
        (found,) = (each for each in self.instructions if each.name == name)
        return found

    def environment(self, args: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
        """What ENV says in the end."""
        env, known = dict(inherited), dict(args)
        for each in self.instructions:
            if each.name == "ARG":
                name, _, default = each.text.partition("=")
                known.setdefault(name, default)
            elif each.name == "ENV":
                env |= each.pairs({**known, **env})
        return env


def substituted(text: str, known: Mapping[str, str]) -> str:
    """With the values of ${NAME}; KeyError for one that was not declared."""
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], text)


def instructions(text: str) -> Iterator[Instruction]:
    """In their order, with continued lines joined and comments left out."""
    kept = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n", " ", "\n".join(kept))
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        assert name in KNOWN, f"the test does not know {name}"
        options: dict[str, str] = {}
        while name in ("COPY", "HEALTHCHECK", "RUN") and (found := re.match(r"\s*--([\w-]+)=(\S+)\s+", rest)):
            options[found[1]], rest = found[2], rest[found.end() :]
        yield Instruction(name, options, rest.strip())


def stages(text: str, args: Mapping[str, str]) -> list[Stage]:
    """`args` win over the defaults of those before the first FROM."""
    known, found = dict(args), list[Stage]()
    for each in instructions(text):
        if each.name == "FROM":
            base, *rest = each.words
            found.append(Stage(substituted(base, known), rest[1] if rest else "", []))
        elif not found:
            assert each.name == "ARG"
            name, _, default = each.text.partition("=")
            known.setdefault(name, default)
        else:
            found[-1].instructions.append(each)
    return found


def health_check(stage: Stage) -> list[str]:
    """The command of HEALTHCHECK."""
    text = stage.one("HEALTHCHECK").text
    assert text.startswith("CMD ")
    command: list[str] = json.loads(text.removeprefix("CMD "))
    return command


class Ignored:
    """A .dockerignore: the last pattern that matches a path or a folder above it decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self._rules = [(line.startswith("!"), _pattern(line.lstrip("!"))) for line in lines if line and line[0] != "#"]

    def __contains__(self, path: Any) -> bool:
        parts = Path(path).parts
        paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        ignored = False
        for is_kept, pattern in self._rules:
            if any(pattern.fullmatch(each) for each in paths):
                ignored = not is_kept
        return ignored


def _pattern(text: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(each, re.escape(each)) for each in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", text)))
