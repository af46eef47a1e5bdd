"""Builds the TLS of a listener from the sections at the top and of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from balance.config.schema.values.tls_sections import BackendTlsSection, CertificateSection, ServerTlsSection
from balance.model import Mode
from balance.tls.settings import BackendTls, Certificate, PemFile, ServerTls

CERTIFICATE_KEYS = ("cert_file", "key_file", "key_password_env")
_HTTPS = 443
_LISTS = ("cipher_suites", "alpn_protocols")


def server_tls(top: dict[str, Any], own: dict[str, Any], mode: Mode, pems: Mapping[str, bytes], folder: str) -> ServerTls:
    """`top` and `own` are the keys given at the top and in the listener. `pems` has the text of each file, by its path; one
    that can't be read has been reported, and is empty here.
    """
    # TLS passes through a listener with an `sni` of its own, and is not spoken where clients are sent to it.
    passes = ("sni" in own or own.get("redirect_http")) and not any(name in own for name in ("certificates", *CERTIFICATE_KEYS))
    given = dict(own) if passes else top | own
    sni = given.pop("sni", None)
    redirects = bool(given.pop("redirect_http", False))
    given.pop("backend", None)
    if not given and sni is None:
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
        given.setdefault("alpn_protocols", ("h2", "http/1.1"))
    for name in ("client_ca_file", "client_crl_file"):
        if name in given:
            given[name] = pem(given[name])
    if "handshake_timeout" in given:
        given["handshake_timeout_s"] = given.pop("handshake_timeout")
    given.setdefault("enabled", bool(certificates) or not (sni is not None or redirects))
    return ServerTls(certificates=tuple(certificates), **given)


def redirect_port(top: dict[str, Any], own: dict[str, Any], tls: ServerTls, others: Iterable[tuple[int, ServerTls]]) -> int:
    """The port of https that clients of this listener are sent to; 0 where they are not. `others`: every port that has TLS."""
    wanted = own.get("redirect_http", top.get("redirect_http", False))
    if not wanted or tls.enabled:
        return 0
    if wanted is not True:
        return int(wanted)
    return next((port for port, each in others if each.enabled and port), _HTTPS)


def backend_tls(
    top: BackendTlsSection | None, own: BackendTlsSection | None, pems: Mapping[str, bytes], folder: str
) -> BackendTls:
    """The TLS of a pool's backends, from `tls.backend` at the top and `tls` of the pool."""
    sections = [section for section in (top, own) if section is not None]
    if not sections:
        return BackendTls()
    given: dict[str, Any] = {"enabled": True}
    for section in sections:
        given |= section.given()
    for name in ("ca_file", "client_cert_file", "client_key_file"):
        if name in given:
            path = os.path.join(folder, given[name])
            given[name] = PemFile(path, pems.get(path, b""))
    if "server_name" in given:
        given["server_name"] = given["server_name"].removesuffix(".")  # RFC 6066 section 3
    return BackendTls(**given)


def sni_routes(own: ServerTlsSection | None) -> dict[str, str]:
    """The pool of each name of a listener that passes TLS through."""
    routes = own.sni.routes if own is not None and own.sni is not None else None
    return {name.lower().removesuffix("."): pool for name, pool in (routes or {}).items()}
