"""What changes from one configuration to another, one short line each. Two that say the same have no difference.

Generic over the fields of the model, so that a key added there shows up by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from typing import Any

from balance.config.model import Config
from balance.config.overrides.value_format import HIDDEN, is_section, key_of, plain
from balance.model import Address

NOTHING_CHANGED = "nothing changed"
_LONGEST = 60  # characters of a value; a longer one is only said to have changed
_FEW = 3  # changes that a summary names one by one
_IGNORED = frozenset(["source"])  # where a configuration was read is not what it says


def difference(old: Config, new: Config) -> tuple[str, ...]:
    """The lines: `+` for what is there anew, `-` for what is gone, `~` for what is otherwise."""
    return tuple(_between(old, new, "", ""))


def summary(lines: Sequence[str]) -> str:
    """The lines in one: backends counted, the few other things named."""
    if not lines:
        return NOTHING_CHANGED
    counts = Counter(line[0] for line in lines if line[2:].startswith("backend "))
    parts = [f"{sign}{counts[sign]} backend{'s' if counts[sign] > 1 else ''}" for sign in "+-~" if counts[sign]]
    others = list(dict.fromkeys(_short(line) for line in lines if not line[2:].startswith("backend ")))
    parts += others[:_FEW]
    if len(others) > _FEW:
        parts.append(f"{len(others) - _FEW} more")
    return ", ".join(parts)


def _short(line: str) -> str:
    what = line[2:].partition(": ")[0]
    kind, _, name = what.partition(" ")
    if " on " in name and kind == "listener":
        what = f"{kind} {name.partition(' on ')[2]}"
    return f"{what} {'added' if line[0] == '+' else 'removed' if line[0] == '-' else 'changed'}"


def _between(old: Any, new: Any, what: str, keys: str) -> Iterator[str]:
    """Two sections. `what` they are part of, like `pool app`, and `keys` that lead to them from there."""
    changed: list[tuple[str, str]] = []
    later: list[Iterator[str]] = []
    for about in fields(new):
        name, key = about.name, key_of(type(new), about.name)
        before, after = getattr(old, name), getattr(new, name)
        if before == after or name in _IGNORED:
            continue
        inner = f"{keys}.{key}" if keys else key
        if is_section(before) and is_section(after):
            later.append(_between(before, after, what, inner))
        elif _is_named(before) or _is_named(after):
            later.append(_among(before, after, key, what))
        else:
            changed.append((key, _value(name, before, after)))
    where = f"{keys} of {what}" if keys and what else keys or what
    if changed and where:
        yield f"~ {where}: {', '.join(f'{key} {said}' for key, said in changed)}"
    else:
        yield from (f"~ {key}: {said}" for key, said in changed)
    for lines in later:
        yield from lines


def _among(old: tuple[Any, ...], new: tuple[Any, ...], key: str, parent: str) -> Iterator[str]:
    """Two lists of things that have names."""
    kind = key.removesuffix("s")
    within = f"{parent.partition(' ')[2]}/" if parent else ""
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    for name, each in before.items():
        if name not in after:
            yield from _whole("-", each, kind, within)
    for name, each in after.items():
        if name not in before:
            yield from _whole("+", each, kind, within)
        elif each != before[name]:
            yield from _between(before[name], each, f"{kind} {within}{name}", "")
    stayed = [name for name in after if name in before]
    if stayed != [name for name in before if name in after]:
        yield f"~ {parent or 'all'}: order of {key}"


def _whole(sign: str, each: Any, kind: str, within: str) -> Iterator[str]:
    """Something that is there anew or is gone, with the named things in it."""
    yield f"{sign} {kind} {within}{each.name}{_place(each, is_new=sign == '+')}"
    for about in fields(each):
        value = getattr(each, about.name)
        if _is_named(value):
            for inner in value:
                yield from _whole(sign, inner, key_of(type(each), about.name).removesuffix("s"), f"{within}{each.name}/")


def _place(each: Any, *, is_new: bool) -> str:
    address, addresses = getattr(each, "address", None), getattr(each, "addresses", ())
    if isinstance(address, Address):
        about_it = fields(each) if is_new else ()
        notable = [f"{key_of(type(each), about.name)} {said}" for about in about_it if (said := _notable(each, about))]
        return f" ({', '.join([str(address), *notable])})"
    return f" on {', '.join(map(str, addresses))}" if addresses else ""


def _notable(each: Any, about: Field[Any]) -> str:
    """What one field says, if that is short and no default."""
    value = getattr(each, about.name)
    if about.name in ("name", "address") or value == about.default or not isinstance(value, (bool, int, float, str)):
        return ""
    text = _text(plain(about.name, value))
    return "" if HIDDEN in text or len(text) > _LONGEST else text


def _value(name: str, before: Any, after: Any) -> str:
    """What became of one value, to be read after its key."""
    if _holds_sections(before) or _holds_sections(after):
        return "added" if not before else "removed" if not after else "changed"
    old, new = _text(plain(name, before)), _text(plain(name, after))
    if HIDDEN in old or HIDDEN in new or max(len(old), len(new)) > _LONGEST:
        return "changed"
    return f"{old} -> {new}"


def _text(shown: Any) -> str:
    if isinstance(shown, bool):
        return str(shown).lower()
    if isinstance(shown, list):
        return f"[{', '.join(map(_text, shown))}]"
    if shown is None:
        return "default"
    text = str(shown)
    return text if text.isprintable() and text else repr(text)


def _holds_sections(value: object) -> bool:
    return is_section(value) or (isinstance(value, tuple) and any(map(is_section, value)))


def _is_named(value: object) -> bool:
    """Whether it is a list of sections that have names."""
    return isinstance(value, tuple) and any(is_section(item) and hasattr(item, "name") for item in value)
