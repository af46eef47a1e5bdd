"""Errors and warnings of `tls`: certificates that OpenSSL does not take, that nobody will trust, or that soon nobody will."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from balance.config.build import KeyPaths
from balance.config.checking.redirect_errors import redirect_errors, unused_redirect
from balance.config.checking.route_errors import not_defined, pool_names
from balance.config.checking.tls.tls_clients import client_certificate_errors, client_certificate_warnings
from balance.config.checking.tls.tls_dates import date, expiry_warning
from balance.config.model import Config, ListenerConfig
from balance.config.reading.document import Path
from balance.model import Mode
from balance.tls.pem_loading import TlsError, infos, try_pair
from balance.tls.policy import policy_context
from balance.tls.server_names import covers
from balance.tls.settings import Certificate, ServerTls

Finding = tuple[Path, str]


def tls_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """What keeps an instance from starting: TLS is never left out, and never plaintext instead."""
    for index, listener in enumerate(config.listeners):
        if listener.tls.enabled:
            yield from _errors(index, listener, paths)
        yield from client_certificate_errors(index, listener, paths)
        yield from redirect_errors(index, listener, paths)
        if listener.sni_routes:
            yield from _sni_errors(index, listener, paths, pool_names(config, paths.document))
    yield from unused_redirect(config, paths)


def _sni_errors(index: int, listener: ListenerConfig, paths: KeyPaths, names: Collection[str]) -> Iterator[Finding]:
    where = paths.listener(index, "tls.sni.routes")
    if listener.mode is Mode.HTTP:
        yield where, "passes TLS through unread, and mode http reads requests; write mode: tcp, or certificates"
    elif listener.tls.enabled:
        yield where, "stands beside certificates: TLS is terminated here, or passed through"
    for route in listener.sni_routes:
        if route.pool not in names:
            yield (*where, route.name), not_defined(route.pool, names)


def _errors(index: int, listener: ListenerConfig, paths: KeyPaths) -> Iterator[Finding]:
    tls = listener.tls
    if not tls.certificates:
        yield (
            paths.listener(index, "tls.certificates", "tls.enabled", "tls"),
            ("is enabled without a certificate; write cert_file and key_file, or certificates: [{cert_file, key_file}]"),
        )
    if sum(each.default for each in tls.certificates) > 1:
        yield paths.listener(index, "tls.certificates"), "has several with default: true; one is for all other names"
    if tls.min_version > tls.max_version:
        yield (
            paths.listener(index, "tls.min_version", "tls.max_version"),
            (f"{tls.min_version} is above max_version, {tls.max_version}"),
        )
    for name in tls.cipher_suites:
        if name.upper().startswith("TLS_"):
            yield (
                paths.listener(index, "tls.cipher_suites"),
                (f"{name!r} is a suite of TLS 1.3, all of whose suites are good; name those of TLS 1.2, by OpenSSL's names"),
            )
    if listener.mode is Mode.HTTP:
        for protocol in tls.alpn_protocols:
            if protocol not in ("h2", "http/1.1"):
                yield (
                    paths.listener(index, "tls.alpn_protocols"),
                    (f"{protocol!r} is not available in this version; available with mode http: h2, http/1.1"),
                )
    for number, certificate in enumerate(tls.certificates):
        where = _path_of(index, number, tls, paths)
        for name in ("cert_file", "key_file"):
            if not getattr(certificate, name).file:
                yield (*where, name), "is missing; a certificate needs cert_file and key_file"
        if not certificate.cert_file.text or not certificate.key_file.text:
            for name in ("cert_file", "key_file"):
                file = getattr(certificate, name)
                if file.file and not file.text:
                    yield (*where, name), f"{file.file!r} is empty or can't be read"
            continue
        try:
            infos(certificate.cert_file)
            try_pair(certificate)
        except TlsError as error:
            yield (*where, error.key), str(error)
    try:
        policy_context(tls)
    except TlsError as error:
        yield paths.listener(index, f"tls.{error.key}"), str(error)


def _path_of(index: int, number: int, tls: ServerTls, paths: KeyPaths) -> Path:
    """Where the certificate of this number stands; the one by the short form comes first."""
    short = paths.listener(index, "tls.cert_file", "tls.key_file")
    has_short = paths.document.has(short)
    if has_short and number == 0:
        return short[:-1]
    return (*paths.listener(index, "tls.certificates"), number - has_short)


def tls_warnings(config: Config, paths: KeyPaths, now: float) -> Iterator[Finding]:
    """What works and will be regretted. `now` is seconds since the epoch."""
    for index, listener in enumerate(config.listeners):
        if listener.tls.enabled:
            for number, certificate in enumerate(listener.tls.certificates):
                where = (*_path_of(index, number, listener.tls, paths), "cert_file")
                for message in certificate_warnings(certificate, now):
                    yield where, message
            yield from client_certificate_warnings(index, listener, paths, now)


def certificate_warnings(certificate: Certificate, now: float) -> Iterator[str]:
    """What is wrong with a certificate that OpenSSL takes."""
    chain = infos(certificate.cert_file)
    leaf, file = chain[0], certificate.cert_file.file
    expiry = expiry_warning(file, leaf.not_after, now)
    if expiry is not None:
        yield expiry.message
    if leaf.not_before > now:
        yield f"{file!r} is not valid before {date(leaf.not_before)}: clients refuse it"
    for domain in certificate.domains:
        if not covers(leaf.names, domain):
            yield f"{file!r} is not for {domain}, but for {', '.join(leaf.names) or 'no name at all'}: clients refuse it"
    if not certificate.domains and not leaf.names and not leaf.common_name:
        yield f"{file!r} is for no name, so it is served as the default alone"
    if leaf.is_weak:
        yield f"{file!r} has a key of {leaf.key_bits} bits ({leaf.key}), which is weak: RSA needs 2048, EC 224"
    for above, below in zip(chain[1:], chain, strict=False):
        if below.issuer != above.subject:
            yield f"{file!r}: its certificates don't follow each other, each issued by the next: clients may refuse the chain"
            break
    else:
        if len(chain) == 1 and not leaf.is_self_signed:
            yield (
                f"{file!r} has the certificate alone, without the intermediate that issued it, if one did: clients that "
                "know the root alone refuse it then"
            )
