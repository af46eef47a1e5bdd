"""Reads the files of `http.error_pages` when the configuration is loaded; no file is read while serving requests."""

from __future__ import annotations

import os

from balance.config.reading.document import Document, Path
from balance.config.schema.schema import RootSection
from balance.errors import Problem

MAX_PAGE_BYTES = 256 * 1024  # held in memory by every worker and sent in one write


def read_pages(root: RootSection, document: Document, folder: str) -> tuple[dict[str, str], list[Problem]]:
    """Maps each file name to its text; a relative name is resolved from `folder`."""
    named: list[tuple[Path, dict[int, str]]] = []
    if root.http is not None and root.http.error_pages is not None:
        named.append((("http", "error_pages"), root.http.error_pages))
    for index, listener in enumerate(root.listeners or ()):
        if listener.http is not None and listener.http.error_pages is not None:
            named.append((("listeners", index, "http", "error_pages"), listener.http.error_pages))
    pages, problems = {}, []
    for path, files in named:
        for status, file in files.items():
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
