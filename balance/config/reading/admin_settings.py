"""Builds the settings of the admin port. Of a token its hash alone is kept, so that nothing can show it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from balance.config.model import AdminAuth, AdminConfig, AdminTls, AdminToken
from balance.config.schema.values.admin_sections import (
    AdminAuthSection,
    AdminSection,
    AdminTlsSection,
    AdminTokenSection,
    admin_token,
)
from balance.tls.settings import PemFile


def digest(token: str) -> bytes:
    """What a token is compared by. It is random and long, so that a slow hash would protect nothing."""
    return hashlib.sha256(token.encode()).digest()


def admin_of(section: AdminSection | None, files: Mapping[str, str], pems: Mapping[str, bytes], folder: str) -> AdminConfig:
    """`files` has the text of each token file, `pems` that of each file of `tls` by its path; what can't be read has been
    reported, and is empty or absent."""
    given = section.given() if section is not None else {}
    if "listen" in given:
        given["address"] = given.pop("listen")
    if "auth" in given:
        given["auth"] = _auth(given["auth"], files)
    if "tls" in given:
        given["tls"] = _tls(given["tls"], pems, folder)
    return AdminConfig(**given)


def _auth(section: AdminAuthSection, files: Mapping[str, str]) -> AdminAuth:
    given = section.given()
    return AdminAuth(**{key: tuple(_token(each, files) for each in listed) for key, listed in given.items()})


def _token(section: AdminTokenSection, files: Mapping[str, str]) -> AdminToken:
    given = section.given()
    token = given.get("token") or files.get(given.get("token_file", ""), "").strip()
    try:
        hashed = digest(admin_token(token))
    except ValueError:  # has been reported
        hashed = b""
    return AdminToken(given.get("name", ""), hashed, given.get("token_file", ""))


def _tls(section: AdminTlsSection, pems: Mapping[str, bytes], folder: str) -> AdminTls:
    given = section.given()
    for name, file in given.items():
        if name.endswith("_file"):
            path = os.path.join(folder, file)
            given[name] = PemFile(path, pems.get(path, b""))
    return AdminTls(**{"enabled": True, **given})
