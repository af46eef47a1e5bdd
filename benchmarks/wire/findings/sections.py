"""The sections of the page of results that commands write: between two comments each. No I/O."""


def section(name: str, text: str) -> str:
    """`text` between its markers."""
    return f"<!-- {name}:begin -->\n{text}<!-- {name}:end -->"


def replaced(existing: str, name: str, text: str) -> str | None:
    """The page with `text` in the section of this name; None where it has no such section. ValueError for one without end."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = existing.partition(begin)
    if not found:
        return None
    _, ended, after = rest.partition(end)
    if not ended:
        raise ValueError(f"{begin!r} is not followed by {end!r}")
    return f"{before}{section(name, text)}{after}"
