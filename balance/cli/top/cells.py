"""Text in cells of a terminal: how wide it is there, cut or filled to a width; numbers and times in few cells."""

from __future__ import annotations

import unicodedata


def width_of(text: str) -> int:
    """How many cells it takes."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def clipped(text: str, width: int) -> str:
    """At most that wide; what is cut ends in `~`."""
    if width <= 0:
        return ""
    if width_of(text) <= width:
        return text
    taken, kept = 0, []
    for char in text:
        taken += _char_width(char)
        if taken > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "~"


def filled(text: str, width: int, *, to_right: bool = False) -> str:
    """Exactly that wide."""
    text = clipped(text, width)
    blank = " " * max(width - width_of(text), 0)
    return blank + text if to_right else text + blank


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """In lines of at most that width, broken at blanks; what is left after `lines` is cut."""
    found: list[str] = []
    rest = text.strip()
    while rest and len(found) < lines:
        if width_of(rest) <= width or len(found) == lines - 1:
            return [*found, clipped(rest, width)]
        head = clipped(rest, width + 1)[:-1] if width > 0 else ""
        cut = head.rfind(" ") if not rest[len(head) : len(head) + 1].isspace() else len(head)
        cut = cut if cut > 0 else max(len(head), 1)
        found.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return found


def count_text(count: float | None) -> str:
    """At most five cells: 0, 0.3, 12, 9999, 12.3k, 1.2M."""
    if count is None:
        return "-"
    if count < 9.95:
        return f"{count:.1f}" if count and count != int(count) else f"{count:.0f}"
    if count < 9999.5:
        return f"{count:.0f}"
    for unit in ("k", "M", "G", "T"):
        count /= 1000
        if count < 99.95:
            return f"{count:.1f}{unit}"
        if count < 999.5:
            return f"{count:.0f}{unit}"
    return "lots"


def time_text(seconds: float | None) -> str:
    """At most five cells: 0.4ms, 12ms, 1.2s, 35s, 12m, 3h, 4d."""
    if seconds is None:
        return "-"
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for size, unit, limit in ((1, "s", 99.5), (60, "m", 5970), (3600, "h", 359_999)):
        if seconds < limit:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def percent_text(share: float | None) -> str:
    """At most three cells, without the sign."""
    return "-" if share is None else f"{100 * share:.0f}"
