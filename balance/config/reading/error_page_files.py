"""Reads the files of `http.error_pages` when the configuration is loaded; no file is read while serving requests."""

from __future__ import annotations

import os

from balance.config.reading.document import Document, Path
from balance.config.schema.route_sections import RouteSection
from balance.config.schema.schema import HttpSection, RootSection
from balance.errors import Problem

MAX_PAGE_BYTES = 256 * 1024  # held in memory by every worker and sent in one write


def read_pages(root: RootSection, document: Document, folder: str) -> tuple[dict[str, str], list[Problem]]:
    """Maps each file name to its text; a relative name is resolved from `folder`."""
    named: list[tuple[Path, dict[int, str]]] = []
    scopes: list[tuple[Path, HttpSection | RouteSection | None]] = [(("http",), root.http)]
    scopes += [(("listeners", index, "http"), listener.http) for index, listener in enumerate(root.listeners or ())]
    for path, http in list(scopes):
        if isinstance(http, HttpSection):
            scopes += [((*path, "routes", index), route) for index, route in enumerate(http.routes or ())]
    for path, section in scopes:
        if section is not None and section.error_pages is not None:
            named.append(((*path, "error_pages"), section.error_pages))
    pages: dict[str, str] = {}
    problems: list[Problem] = []
    for path, files in named:
        for status, file in files.items():
            if file in pages:
                continue
            try:
                pages[file] = _page(os.path.join(folder, file))
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                problems.append(document.problem((*path, str(status)), f"{file!r} can't be used: {reason}"))
    return pages, problems


def _page(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(MAX_PAGE_BYTES + 1)
    if len(content) > MAX_PAGE_BYTES:
        raise ValueError(f"it is larger than {MAX_PAGE_BYTES // 1024} KB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
