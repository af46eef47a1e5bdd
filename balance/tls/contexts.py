"""OpenSSL contexts of listeners, made before the fork and swapped when their files or settings change.

A listener has one context for the policy (versions, ciphers, tickets, whether client certificates are asked for) and one for
each certificate; a connection begins with the first and is given the certificate of the second. So every certificate may be
changed while session tickets, whose keys belong to the first, go on: in all workers, as long as the policy stays and they were
forked after it was made. OpenSSL takes from the second context the certificate, the choice of ALPN and the authorities whose
client certificates count, and nothing else that decides who may enter.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Protocol

from balance.tls.client_hello import ClientHello
from balance.tls.pem_loading import infos, load_pair
from balance.tls.policy import load_client_trust, policy_context, set_suites
from balance.tls.server_names import ServerNames
from balance.tls.settings import Certificate, ServerTls


def names_of(certificate: Certificate) -> tuple[str, ...]:
    """The names that it is served for: those configured, else its own."""
    if certificate.domains:
        return certificate.domains
    info = infos(certificate.cert_file)[0]
    return info.names or ((info.common_name.lower(),) if info.common_name else ())


def certificate_context(tls: ServerTls, certificates: Sequence[Certificate]) -> ssl.SSLContext:
    """A context with a certificate, or with an EC and an RSA one for the same name side by side.

    OpenSSL takes the suites and the authorities of clients from the context that is set last, too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    set_suites(context, tls.cipher_suites)
    for certificate in certificates:
        load_pair(context, certificate)
    if tls.alpn_protocols:
        context.set_alpn_protocols(list(tls.alpn_protocols))
    load_client_trust(context, tls)
    return context


ContextKey = tuple[object, ...]  # the certificates and all of the settings that such a context has


class ListenerTls:
    """What the connections of one listener begin with. It is never changed: a reload makes another one."""

    __slots__ = ("_names", "certificates", "default", "policy", "settings")

    policy: ssl.SSLContext

    def __init__(self, settings: ServerTls, previous: ListenerTls | None = None) -> None:
        """What is the same in `previous` is taken over, so that its session tickets stay good."""
        self.settings = settings
        if previous is not None and _policy(previous.settings) == _policy(settings):
            self.policy = previous.policy
        else:
            self.policy = policy_context(settings)
        known = previous.certificates if previous is not None else {}
        self.certificates: dict[ContextKey, ssl.SSLContext] = {}
        by_name: dict[str, list[Certificate]] = {}
        for certificate in settings.certificates:
            for name in names_of(certificate):
                by_name.setdefault(name.lower().removesuffix("."), []).append(certificate)
        contexts = {}
        for name, sharing in by_name.items():
            contexts[name] = self._context(_side_by_side(sharing), known)
        self._names = ServerNames(contexts)
        chosen = next((each for each in settings.certificates if each.default), settings.certificates[0])
        self.default = self._context(_side_by_side(_alike(settings.certificates, chosen)), known)

    def _context(
        self,
        certificates: tuple[Certificate, ...],
        known: Mapping[ContextKey, ssl.SSLContext],
    ) -> ssl.SSLContext:
        tls = self.settings
        trust = (tls.client_ca_file, tls.client_crl_file) if tls.verifies_clients else ()
        key = (certificates, tls.alpn_protocols, tls.cipher_suites, *trust)
        context = self.certificates.get(key) or known.get(key)
        if context is None:
            context = certificate_context(tls, certificates)
        self.certificates[key] = context
        return context

    def find(self, server_name: str) -> ssl.SSLContext | None:
        """The context of the certificate for a name; None where strict_sni refuses it."""
        found = self._names.find(server_name) if server_name else None
        if found is None and not self.settings.strict_sni:
            return self.default
        return found

    def policy_for(self, hello: ClientHello) -> ssl.SSLContext:
        """The context that a connection begins with.

        OpenSSL keeps the sessions of TLS 1.2 in that context, tickets or not, and would resume one without a look at the
        certificate. Where certificates count, such a client has a context of its own, and so no session to resume.
        """
        if self.settings.verifies_clients and not (hello.offers_tls13 and self.settings.max_version == "1.3"):
            return policy_context(self.settings)
        return self.policy


def _policy(tls: ServerTls) -> tuple[object, ...]:
    return (tls.min_version, tls.max_version, tls.cipher_suites, tls.session_tickets, tls.client_auth, tls.client_ca_file,
            tls.client_crl_file)  # fmt: skip


def _side_by_side(certificates: list[Certificate]) -> tuple[Certificate, ...]:
    """The first certificate of each kind of key: OpenSSL holds one of each, and the last one given would win."""
    chosen: dict[str, Certificate] = {}
    for certificate in certificates:
        chosen.setdefault(infos(certificate.cert_file)[0].key, certificate)
    return tuple(chosen.values())


def _alike(certificates: tuple[Certificate, ...], chosen: Certificate) -> list[Certificate]:
    """The chosen certificate, then those for the same names."""
    names = set(names_of(chosen))
    return [chosen, *(each for each in certificates if each is not chosen and set(names_of(each)) == names)]


class HasTls(Protocol):
    """A listener's configuration."""

    @property
    def name(self) -> str: ...

    @property
    def tls(self) -> ServerTls: ...


class HasListeners(Protocol):
    """A configuration."""

    @property
    def listeners(self) -> Sequence[HasTls]: ...


class TlsContexts:
    """Those of all listeners with TLS, by the listener's name."""

    __slots__ = ("by_listener",)

    by_listener: dict[str, ListenerTls]

    def __init__(self, config: HasListeners, previous: TlsContexts | None = None) -> None:
        """TlsError when OpenSSL does not take one of them."""
        settings = {listener.name: listener.tls for listener in config.listeners if listener.tls.enabled}
        before = previous.by_listener if previous is not None else {}
        self.by_listener = {
            name: _same(before.get(name), tls) or ListenerTls(tls, before.get(name)) for name, tls in settings.items()
        }


def _same(before: ListenerTls | None, tls: ServerTls) -> ListenerTls | None:
    return before if before is not None and before.settings == tls else None
