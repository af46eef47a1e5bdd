"""Reads the files that `tls` names when a configuration is loaded; none is read while serving.

A reload keeps the last good pair of a certificate whose files can't be used now, with a warning, and changes the others: a
renewal may be half written, and the pair that is served is still better than none. So it does with a list of revoked clients.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from balance.config.reading.document import Document, Path
from balance.errors import Problem
from balance.tls.pem_loading import TlsError, try_pair
from balance.tls.revocation_lists import revocation_lists
from balance.tls.settings import Certificate, PemFile, Served

if TYPE_CHECKING:  # the supervisor has the words below from here, and must not load pydantic
    from balance.config.schema.schema import RootSection
    from balance.config.schema.section import Section

KEPT = "the certificate of before is served on"
KEPT_LIST = "the revocation list of before counts on"
MAX_PEM_BYTES = 16 * 1024 * 1024  # revocation lists are the largest


@dataclass(slots=True)
class PemFiles:
    """The texts by path, what is wrong, and what is kept of before."""

    texts: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    kept: list[Problem] = field(default_factory=list)


def read_pem_files(root: RootSection, document: Document, folder: str, served: Served) -> PemFiles:
    """Read every file that a `tls` section names. What is `served` is kept where its files can't be used."""
    known = {(each.cert_file.file, each.key_file.file): each for each in served.certificates}
    lists = {each.file: each for each in served.lists if each.file}
    found = PemFiles()
    reported: dict[Path, Problem] = {}
    for path, name in _named(root):
        file = os.path.join(folder, name)
        if file not in found.texts:
            try:
                found.texts[file] = _read(file)
                continue
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                reported[path] = document.problem(path, f"{name!r} can't be read: {reason}")
    for places, certificate in _certificates(root, found.texts, folder):
        before = known.get((certificate.cert_file.file, certificate.key_file.file))
        why = next((str(reported[at].message) for at in places if at in reported), "")
        if before is None:
            continue
        if not why:
            try:
                try_pair(certificate)
            except TlsError as error:
                why = str(error)
        if why:
            for pem in (before.cert_file, before.key_file):
                found.texts[pem.file] = pem.text
            for at in places:
                reported.pop(at, None)
            found.kept.append(document.problem(places[0], f"{why}; {KEPT}"))
    for path, name in _named(root):
        list_before = lists.get(os.path.join(folder, name)) if path[-1] == "client_crl_file" else None
        if list_before is None:
            continue
        why = str(reported[path].message) if path in reported else _unreadable_list(name, found.texts[list_before.file])
        if why:
            found.texts[list_before.file] = list_before.text
            reported.pop(path, None)
            found.kept.append(document.problem(path, f"{why}; {KEPT_LIST}"))
    document.broken |= set(reported)
    found.problems += reported.values()
    return found


def _unreadable_list(name: str, text: bytes) -> str:
    """What is wrong with a file of revocation lists, as one that was fetched in part, or a page of errors in its place."""
    try:
        revocation_lists(PemFile(name, text))
    except ValueError as error:
        return f"{name!r}: {error}"
    return ""


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAX_PEM_BYTES + 1)
    if len(content) > MAX_PEM_BYTES:
        raise ValueError(f"it is larger than {MAX_PEM_BYTES >> 20} MB")
    return content


def _tls_sections(root: RootSection) -> Iterator[tuple[Path, Section]]:
    scopes: list[tuple[Path, Any]] = [((), root)]
    if root.admin is not None:
        scopes.append((("admin",), root.admin))
    scopes += [(("listeners", index), listener) for index, listener in enumerate(root.listeners or ())]
    scopes += [(("pools", name), pool) for name, pool in (root.pools or {}).items()]
    for path, scope in scopes:
        if scope.tls is not None:
            yield (*path, "tls"), scope.tls
    if root.tls is not None and root.tls.backend is not None:
        yield ("tls", "backend"), root.tls.backend


def _named(root: RootSection) -> Iterator[tuple[Path, str]]:
    for path, section in _tls_sections(root):
        for name, value in section.given().items():
            if name.endswith("_file") and isinstance(value, str):
                yield (*path, name), value
            elif name == "certificates":
                for index, certificate in enumerate(value or ()):
                    for key, file in certificate.given().items():
                        if key.endswith("_file"):
                            yield (*path, name, index, key), file


def _certificates(
    root: RootSection, texts: Mapping[str, bytes], folder: str
) -> Iterator[tuple[tuple[Path, Path], Certificate]]:
    """Each certificate, with the paths of its file and of its key's."""
    for path, section in _tls_sections(root):
        given = section.given()
        listed = [((*path, "certificates", index), each.given()) for index, each in enumerate(given.get("certificates") or ())]
        for where, keys in [(path, given), *listed]:
            for prefix in ("", "client_"):
                names = f"{prefix}cert_file", f"{prefix}key_file"
                if all(name in keys for name in names):
                    cert_file, key_file = (os.path.join(folder, keys[name]) for name in names)
                    cert, key = (PemFile(file, texts.get(file, b"")) for file in (cert_file, key_file))
                    password = keys.get(f"{prefix}key_password_env", "")
                    yield ((*where, names[0]), (*where, names[1])), Certificate(cert, key, password)
