"""Reads the files that `security` and `admin.auth` name for the configuration; a reload takes in what has changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from balance.config.reading.document import Document, Path
from balance.config.schema.schema import RootSection
from balance.config.schema.security_sections import RequestSecuritySection
from balance.config.schema.values.admin_sections import admin_token
from balance.errors import Problem
from balance.security.jwt_keys import jwks_keys, pem_keys
from balance.security.password_hash import WrongLineError, parse_htpasswd
from balance.tls.x509 import parse_certificate, pem_blocks

MAX_FILE_BYTES = 1024 * 1024

Check = Callable[[str], object]  # ValueError says in one line what is wrong


def read_security_files(root: RootSection, document: Document, folder: str) -> tuple[dict[str, str], list[Problem]]:
    """Maps each file's name to its text; a relative name is resolved from `folder`."""
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for path, file, check in _named(root):
        if file in texts:
            continue
        try:
            texts[file] = read_text(os.path.join(folder, file))
            check(texts[file])
            continue
        except OSError as error:
            message = f"{file!r} can't be read: {error.strerror}"
        except WrongLineError as error:
            texts[file] = ""  # reported once
            message = f"{os.path.join(folder, file)}:{error.line}: {error}"
        except ValueError as error:
            texts[file] = ""
            message = f"{file!r}: {error}"
        document.broken.add(path)
        problems.append(document.problem(path, message))
    return texts, problems


def read_text(path: str) -> str:
    """OSError, or ValueError for what can be no such file. Pipes and devices, which may never end, are not read."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("is not a file")
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError("is larger than 1 MB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _named(root: RootSection) -> Iterator[tuple[Path, str, Check]]:
    for path, section in _scopes(root):
        if section.basic_auth is not None and section.basic_auth.htpasswd_file:
            yield (*path, "basic_auth", "htpasswd_file"), section.basic_auth.htpasswd_file, parse_htpasswd
        if section.jwt is not None:
            has_library = find_spec("joserfc") is not None  # else that is what is reported
            for file in section.jwt.pem_files or ():
                yield (*path, "jwt", "pem_files"), file, _check_pem if has_library else str
            if section.jwt.jwks_file:
                yield (*path, "jwt", "jwks_file"), section.jwt.jwks_file, jwks_keys if has_library else str
            if section.jwt.jwks_ca_file:
                yield (*path, "jwt", "jwks_ca_file"), section.jwt.jwks_ca_file, _check_ca

    auth = root.admin.auth if root.admin is not None else None
    for key in ("tokens", "read_only_tokens") if auth is not None else ():
        for number, token in enumerate(getattr(auth, key) or ()):
            if token.token_file:
                yield ("admin", "auth", key, number, "token_file"), token.token_file, admin_token


def _check_ca(text: str) -> object:
    try:
        certificates = [parse_certificate(block) for block in pem_blocks(text.encode())]
    except ValueError as error:
        raise ValueError(f"has a certificate that can't be read: {error}") from None
    if not certificates:
        raise ValueError("has no certificate in PEM")
    return certificates


def _check_pem(text: str) -> object:
    return list(pem_keys(text))


def _scopes(root: RootSection) -> Iterator[tuple[Path, RequestSecuritySection]]:
    """Every `security` of requests with its path."""
    scopes: list[tuple[Path, RequestSecuritySection | None]] = [(("security",), root.security)]
    lists = [(("http", "routes"), root.http.routes if root.http is not None else None)]
    for number, listener in enumerate(root.listeners or ()):
        scopes.append((("listeners", number, "security"), listener.security))
        if listener.http is not None:
            lists.append((("listeners", number, "http", "routes"), listener.http.routes))  # type: ignore[arg-type]
    for where, routes in lists:
        scopes += [((*where, number, "security"), route.security) for number, route in enumerate(routes or ())]
    for path, section in scopes:
        if section is not None:
            yield path, section
