"""The differences between two configurations, one line each.

Compares the fields of the model's dataclasses, so that a new key needs no code here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from typing import Any

from balance.config.model import Config
from balance.config.overrides.value_format import REDACTED, config_key, is_section, json_value, secret_fields
from balance.config.route_model import Fault, RouteConfig
from balance.model import Address

NOTHING_CHANGED = "nothing changed"
_MAX_VALUE_LENGTH = 60  # characters; for a longer value the line says only "changed"
_MAX_NAMED = 3  # changes that a summary names; the others are counted
# The name of the file; when an injected fault ends, which `until` says; what a route has of the first of its uses of pools.
_IGNORED = frozenset([(Config, "source"), (Fault, "ends_s"), (RouteConfig, "timeouts"), (RouteConfig, "retry")])


def difference(old: Config, new: Config) -> tuple[str, ...]:
    """The lines: `+` added, `-` removed, `~` changed."""
    return tuple(_compare_sections(old, new, "", ""))


def summary(lines: Sequence[str]) -> str:
    """One line for all: the number of backends, and the first few other changes by name."""
    if not lines:
        return NOTHING_CHANGED
    counts = Counter(line[0] for line in lines if line[2:].startswith("backend "))
    parts = [f"{sign}{counts[sign]} backend{'s' if counts[sign] > 1 else ''}" for sign in "+-~" if counts[sign]]
    others = list(dict.fromkeys(_short(line) for line in lines if not line[2:].startswith("backend ")))
    parts += others[:_MAX_NAMED]
    if len(others) > _MAX_NAMED:
        parts.append(f"{len(others) - _MAX_NAMED} more")
    return ", ".join(parts)


def _short(line: str) -> str:
    what = line[2:].partition(": ")[0]
    kind, _, name = what.partition(" ")
    if " on " in name and kind == "listener":
        what = f"{kind} {name.partition(' on ')[2]}"
    return f"{what} {'added' if line[0] == '+' else 'removed' if line[0] == '-' else 'changed'}"


def _compare_sections(old: Any, new: Any, what: str, keys: str) -> Iterator[str]:
    """Compares two sections. `what` has them, like `pool app`; `keys` is the dotted path from there."""
    changed: list[tuple[str, str]] = []
    later: list[Iterator[str]] = []
    for attr in fields(new):
        name, key = attr.name, config_key(type(new), attr.name)
        before, after = getattr(old, name), getattr(new, name)
        if before == after or (type(new), name) in _IGNORED:
            continue
        inner = f"{keys}.{key}" if keys else key
        if is_section(before) and type(before) is type(after):
            later.append(_compare_sections(before, after, what, inner))
        elif (before or after) and _is_named_list(before) and _is_named_list(after):
            later.append(_compare_lists(before, after, key, what))
        else:
            is_secret = name in secret_fields(old) | secret_fields(new)
            changed.append((key, "changed" if is_secret else _describe_change(name, before, after)))
    where = f"{keys} of {what}" if keys and what else keys or what
    if changed and where:
        yield f"~ {where}: {', '.join(f'{key} {text}' for key, text in changed)}"
    else:
        yield from (f"~ {key}: {text}" for key, text in changed)
    for lines in later:
        yield from lines


def _compare_lists(old: tuple[Any, ...], new: tuple[Any, ...], key: str, parent: str) -> Iterator[str]:
    """Compares two lists of named sections (listeners, pools, backends)."""
    kind = key.removesuffix("s")
    within = f"{parent.partition(' ')[2]}/" if parent else ""
    before, after = {_name(item): item for item in old}, {_name(item): item for item in new}
    for name, item in before.items():
        if name not in after:
            yield from _added_or_removed("-", item, kind, within)
    for name, item in after.items():
        if name not in before:
            yield from _added_or_removed("+", item, kind, within)
        elif item != before[name]:
            yield from _compare_sections(before[name], item, _titled(kind, within, name), "")
    stayed = [name for name in after if name in before]
    if stayed != [name for name in before if name in after]:
        yield f"~ {parent or 'all'}: order of {key}"


def _titled(kind: str, within: str, name: str) -> str:
    """What a section in a list is called, in its list: a use is one of the pools that a route sends to."""
    return f"pool {name} of route {within[:-1]}" if kind == "use" else f"{kind} {within}{name}"


def _added_or_removed(sign: str, item: Any, kind: str, within: str) -> Iterator[str]:
    """The lines for an added or removed section and the named sections in it."""
    yield f"{sign} {_titled(kind, within, _name(item))}{_address_suffix(item, is_new=sign == '+')}"
    for attr in fields(item) if not isinstance(item, RouteConfig) else ():
        value = getattr(item, attr.name)
        if value and _is_named_list(value):
            for inner in value:
                yield from _added_or_removed(
                    sign, inner, config_key(type(item), attr.name).removesuffix("s"), f"{within}{_name(item)}/"
                )


def _address_suffix(item: Any, *, is_new: bool) -> str:
    address, addresses = getattr(item, "address", None), getattr(item, "addresses", ())
    if isinstance(address, Address):
        about_it = fields(item) if is_new else ()
        notable = [f"{config_key(type(item), attr.name)} {text}" for attr in about_it if (text := _non_default(item, attr))]
        return f" ({', '.join([str(address), *notable])})"
    return f" on {', '.join(map(str, addresses))}" if addresses else ""


def _non_default(item: Any, attr: Field[Any]) -> str:
    """The value of a field, "" when it is the default, secret or long."""
    value = getattr(item, attr.name)
    if attr.name in ("name", "address") or value == attr.default or not isinstance(value, (bool, int, float, str)):
        return ""
    text = _format(json_value(attr.name, value))
    return "" if REDACTED in text or len(text) > _MAX_VALUE_LENGTH else text


def _describe_change(name: str, before: Any, after: Any) -> str:
    """How one value changed; the line has its key before this."""
    if _holds_sections(before) or _holds_sections(after):
        return "added" if not before else "removed" if not after else "changed"
    old, new = _format(json_value(name, before)), _format(json_value(name, after))
    if REDACTED in old or REDACTED in new or max(len(old), len(new)) > _MAX_VALUE_LENGTH:
        return "changed"
    return f"{old} -> {new}"


def _format(shown: Any) -> str:
    if isinstance(shown, bool):
        return str(shown).lower()
    if isinstance(shown, list):
        return f"[{', '.join(map(_format, shown))}]"
    if shown is None:
        return "default"
    text = str(shown)
    return text if text.isprintable() and text else repr(text)


def _holds_sections(value: object) -> bool:
    return is_section(value) or (isinstance(value, tuple) and any(map(is_section, value)))


def _is_named_list(value: object) -> bool:
    """Whether the value is a tuple of sections with names of their own; an empty one is."""
    if not isinstance(value, tuple) or not all(is_section(item) and _name(item) for item in value):
        return False
    return len({_name(item) for item in value}) == len(value)


def _name(item: Any) -> str:
    """What a section in a list is called: by its name, or by the pool that it is about."""
    name: str = getattr(item, "name", "") or getattr(item, "pool", "")
    return name
