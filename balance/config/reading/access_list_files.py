"""Reads the files of access lists when the configuration is loaded; control looks at them again (list_file_watch)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from balance.access_lists.address_set import AddressSet
from balance.access_lists.list_file import MAX_FILE_BYTES, ListFileError, parse_list
from balance.config.reading.document import Document, Path
from balance.errors import Problem

if TYPE_CHECKING:  # control reads changed lists by this, and must not load pydantic
    from balance.config.schema.access_sections import AccessSection
    from balance.config.schema.schema import RootSection


def read_lists(root: RootSection, document: Document, folder: str) -> tuple[dict[str, AddressSet], list[Problem]]:
    """Maps each file's name to its addresses; a relative name is resolved from `folder`."""
    scopes: list[tuple[Path, AccessSection | None]] = [(("security",), root.security)]
    scopes += [(("listeners", index, "security"), each.security) for index, each in enumerate(root.listeners or ())]
    named: list[tuple[Path, str]] = []
    needed: set[str] = set()
    for path, section in scopes:
        if section is None:
            continue
        needed |= set(section.ip_allowlist_files or ())
        named += [((*path, "ip_allowlist_files"), file) for file in section.ip_allowlist_files or ()]
        if section.ip_blocklist is not None:
            named += [((*path, "ip_blocklist", "files"), file) for file in section.ip_blocklist.files or ()]
    lists: dict[str, AddressSet] = {}
    problems: list[Problem] = []
    for path, file in named:
        if file in lists:
            continue
        full = os.path.join(folder, file)
        try:
            lists[file] = read_list(full, is_needed=file in needed)
        except OSError as error:
            problems.append(document.problem(path, f"{file!r} can't be read: {error.strerror}"))
        except ListFileError as error:
            where = f"{full}:{error.line}" if error.line else full
            problems.append(document.problem(path, f"{where}: {error.why}"))
    return lists, problems


def read_list(path: str, *, is_needed: bool) -> AddressSet:
    """The addresses of one file. OSError, or ListFileError with the first wrong line.

    `is_needed`: it may not be empty, as an empty allow list would shut out everybody. Pipes and devices, which may never end,
    are not read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ListFileError(0, "is not a file")
    with open(path, "rb") as file:
        addresses = parse_list(file.read(MAX_FILE_BYTES + 1))
    if is_needed and not len(addresses):
        raise ListFileError(0, "is empty, and nobody could connect")
    return addresses
