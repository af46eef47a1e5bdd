"""Errors and warnings of `tls` about client certificates: whose count, and which of them are revoked."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.checking.tls.tls_dates import date, ended_list
from balance.config.model import ListenerConfig
from balance.config.reading.document import Path
from balance.config.schema.values.tls_sections import CLIENT_AUTH_ALIASES
from balance.tls.distinguished_name import name_text, same_name
from balance.tls.pem_loading import TlsError, infos
from balance.tls.policy import check_client_trust
from balance.tls.revocation_lists import revocation_lists

Finding = tuple[Path, str]
FILES = ("client_ca_file", "client_crl_file")


def client_certificate_errors(index: int, listener: ListenerConfig, paths: KeyPaths) -> Iterator[Finding]:
    """What would let in nobody, or everybody where somebody thought of some."""
    tls, document = listener.tls, paths.document
    where = paths.listener(index, "tls.client_auth")
    if listener.sni_routes and tls.verifies_clients:
        yield where, "stands beside sni: TLS is not terminated here, so no certificate of a client is seen"
    elif tls.enabled and tls.verifies_clients:
        at = [paths.listener(index, f"tls.{name}") for name in FILES]
        if any(document.is_broken(path) for path in at):
            return  # it can't be read, which is said
        try:
            check_client_trust(tls)
        except TlsError as error:
            yield paths.listener(index, f"tls.{error.key}"), str(error)
    elif not document.has(where):
        for name in FILES:
            path = paths.listener(index, f"tls.{name}")
            if document.has(path):
                yield path, "does nothing without client_auth; write client_auth: require-and-verify, or verify"


def client_certificate_warnings(index: int, listener: ListenerConfig, paths: KeyPaths, now: float) -> Iterator[Finding]:
    """What works and will be regretted. `now` is seconds since the epoch."""
    tls, document = listener.tls, paths.document
    where = paths.listener(index, "tls.client_auth")
    said = str(document.at(where)).lower() if document.has(where) else ""
    if said in CLIENT_AUTH_ALIASES:
        meant = CLIENT_AUTH_ALIASES[said]
        yield where, f"{said} is taken as {meant}: a certificate that is given is always verified"
    if not tls.verifies_clients:
        return
    authorities = infos(tls.client_ca_file, "client_ca_file")
    path, file = paths.listener(index, "tls.client_ca_file"), tls.client_ca_file.file
    for each in authorities:
        if each.not_after <= now:
            yield path, f"{file!r}: {name_text(each.subject)!r} has expired on {date(each.not_after)}: its clients are refused"
        elif not each.is_ca:
            yield path, f"{file!r}: {name_text(each.subject)!r} is no authority: it can have issued no certificate"
    if not tls.client_crl_file.file:
        return
    path, file = paths.listener(index, "tls.client_crl_file"), tls.client_crl_file.file
    for known in revocation_lists(tls.client_crl_file):
        if known.next_update and known.next_update <= now:
            yield path, ended_list(file, name_text(known.issuer), known.next_update)
        if not any(same_name(each.subject, known.issuer) for each in authorities):
            yield path, f"{file!r}: the list of {name_text(known.issuer)!r} is for nobody: it is not in client_ca_file"
