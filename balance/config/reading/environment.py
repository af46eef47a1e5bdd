"""Environment variables that override keys of the file. A wrong value is reported under the variable's name."""

from __future__ import annotations

from collections.abc import Mapping

from balance.config.reading.document import Document, Path
from balance.errors import Problem

OVERRIDES: dict[str, Path] = {
    "BALANCE_LISTEN": ("listen",),
    "BALANCE_MODE": ("mode",),
    "BALANCE_LOG_LEVEL": ("logging", "level"),
    "BALANCE_WORKERS": ("workers",),
}


def override(document: Document, env: Mapping[str, str]) -> list[Problem]:
    """Set the variables' values in the document. An empty variable counts as unset."""
    problems = []
    for variable, path in OVERRIDES.items():
        text = env.get(variable, "").strip()
        if not text:
            continue
        value: object = text
        if variable == "BALANCE_WORKERS" and text.isascii() and text.isdigit() and len(text) < 10:
            value = int(text)
        if variable == "BALANCE_LISTEN" and "," in text:
            value = [part.strip() for part in text.split(",")]
        listeners = document.data.get("listeners")
        if path[0] in ("listen", "mode") and isinstance(listeners, list) and listeners:
            if len(listeners) > 1:
                message = f"can't say which of the {len(listeners)} listeners it means; write it in the file"
                problems.append(Problem(variable, 0, 0, path[0], message))
                continue
            path = ("listeners", 0, *path)
        document.put(path, value, variable)
    return problems
