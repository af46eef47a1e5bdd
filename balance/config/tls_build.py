"""Builds the TLS of a listener from the sections at the top and of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from balance.config.overlay import overlay, renamed
from balance.config.schema.tls_sections import CertificateSection, ServerTlsSection
from balance.model import Mode
from balance.tls.settings import Certificate, PemFile, ServerTls

CERTIFICATE_KEYS = ("cert_file", "key_file", "key_password_env")
_LISTS = ("cipher_suites", "alpn_protocols")


def server_tls(
    top: ServerTlsSection | None, own: ServerTlsSection | None, mode: Mode, pems: Mapping[str, bytes], folder: str
) -> ServerTls:
    """`pems` has the text of each file, by its path; one that can't be read has been reported, and is empty here."""
    given = overlay(top, own)
    if not given:
        return ServerTls()

    def pem(file: str) -> PemFile:
        path = os.path.join(folder, file)
        return PemFile(path, pems.get(path, b""))

    def certificate(keys: dict[str, Any]) -> Certificate:
        for name in ("cert_file", "key_file"):
            keys[name] = pem(keys[name]) if name in keys else PemFile()
        if "domains" in keys:
            keys["domains"] = tuple(domain.lower().removesuffix(".") for domain in keys["domains"])
        return Certificate(**keys)

    listed: list[CertificateSection] = given.pop("certificates", None) or []
    certificates = [certificate(each.given()) for each in listed]
    single = {name: given.pop(name) for name in CERTIFICATE_KEYS if name in given}
    if single:
        certificates.insert(0, certificate(single))
    for name in _LISTS:
        if name in given:
            given[name] = tuple(dict.fromkeys(given[name]))
    if mode is Mode.HTTP:
        given.setdefault("alpn_protocols", ("http/1.1",))
    given.setdefault("enabled", True)
    return ServerTls(certificates=tuple(certificates), **renamed(given, handshake_timeout="handshake_timeout_s"))
