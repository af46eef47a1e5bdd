"""OpenSSL contexts of listeners, made before the fork and swapped when their files or settings change.

A listener has one context for the policy (versions, ciphers, tickets, client certificates) and one for each certificate; a
connection begins with the first and is given the certificate of the second. So every certificate may be changed while session
tickets, whose keys belong to the first, go on: in all workers, as long as the policy stays and they were forked after it was
made. OpenSSL takes from the second context the certificate and the choice of ALPN, and nothing that decides who may enter.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

from balance.tls.server_names import ServerNames
from balance.tls.settings import Certificate, PemFile, ServerTls
from balance.tls.x509 import CertificateInfo, parse_certificate, pem_blocks

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# TLS 1.2: forward secrecy and AEAD alone, as Mozilla's intermediate profile has it.
DEFAULT_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsError(Exception):
    """A file or setting that OpenSSL does not take, in one line; `key` is where it is configured."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def file_of(text: bytes) -> contextlib.AbstractContextManager[str]:
    """A path by which OpenSSL, which takes nothing else, can read this text: memory, where the system has such files."""
    return _in_memory(text) if hasattr(os, "memfd_create") else _on_disk(text)


@contextlib.contextmanager
def _in_memory(text: bytes) -> Iterator[str]:
    fd = os.memfd_create("tls")
    try:
        os.write(fd, text)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@contextlib.contextmanager
def _on_disk(text: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        yield file.name


def describe(error: ssl.SSLError) -> str:
    """What OpenSSL says, without its file names and numbers."""
    return (error.reason or str(error)).replace("_", " ").lower()


def load_pair(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Load a certificate, its chain and its key. TlsError, with the context in an unknown state, when they don't fit."""
    variable = certificate.key_password_env
    password = os.environ.get(variable, "") if variable else ""
    was_asked = False

    def tell() -> str:  # without it OpenSSL would ask on the terminal, and wait
        nonlocal was_asked
        was_asked = True
        return password

    with file_of(certificate.cert_file.text) as cert, file_of(certificate.key_file.text) as key:
        try:
            context.load_cert_chain(cert, key, tell)
        except ssl.SSLError as error:
            cert_name, key_name = certificate.cert_file.file, certificate.key_file.file
            if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
                message = f"{key_name!r} is not the key of the certificate {cert_name!r}"
                raise TlsError("key_file", message) from None
            if was_asked and not password:
                hint = f"the environment has no {variable}" if variable else "write key_password_env: the variable with it"
                raise TlsError("key_file", f"{key_name!r} is encrypted with a password; {hint}") from None
            if was_asked:
                raise TlsError("key_password_env", f"{key_name!r} can't be read with the password in {variable}") from None
            if not pem_blocks(certificate.cert_file.text):
                raise TlsError("cert_file", f"{cert_name!r} has no certificate in PEM format") from None
            if b"PRIVATE KEY-----" not in certificate.key_file.text:
                raise TlsError("key_file", f"{key_name!r} has no private key in PEM format") from None
            raise TlsError("cert_file", f"{cert_name!r} with {key_name!r} can't be used: {describe(error)}") from None
        except OSError as error:
            raise TlsError("cert_file", f"can't be read: {error.strerror or error}") from None
        except ValueError as error:  # a password that is too long
            raise TlsError("key_password_env", str(error)) from None


def try_pair(certificate: Certificate) -> None:
    """TlsError when the files don't fit. No context that is in use is touched: a failure would break it."""
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)


def infos(file: PemFile, key: str = "cert_file") -> list[CertificateInfo]:
    """The certificates in a file, the first one first. TlsError when there is none or one can't be read."""
    try:
        found = [parse_certificate(der) for der in pem_blocks(file.text)]
    except ValueError as error:
        raise TlsError(key, f"{file.file!r}: {error}") from None
    if not found:
        raise TlsError(key, f"{file.file!r} has no certificate in PEM format")
    return found


@lru_cache(maxsize=4096)
def expires_at(file: PemFile) -> float:
    """When a certificate that was loaded ends, in seconds since the epoch."""
    return infos(file)[0].not_after


def names_of(certificate: Certificate) -> tuple[str, ...]:
    """The names that it is served for: those configured, else its own."""
    if certificate.domains:
        return certificate.domains
    info = infos(certificate.cert_file)[0]
    return info.names or ((info.common_name.lower(),) if info.common_name else ())


def policy_context(tls: ServerTls) -> ssl.SSLContext:
    """The context with all that decides who may enter. TlsError when OpenSSL does not take a setting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    # OP_NO_RENEGOTIATION: a client would make the server work for nothing, and a second handshake could change who it is.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    _set_suites(context, tls.cipher_suites)
    # Where client certificates count, a ticket would outlive a revocation: none is given out.
    if not tls.session_tickets or tls.client_auth != "none":
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if tls.client_auth != "none":
        _verify_clients(context, tls)
    return context


def _set_suites(context: ssl.SSLContext, suites: tuple[str, ...]) -> None:
    try:
        context.set_ciphers(":".join(suites) or DEFAULT_CIPHERS)
    except ssl.SSLError:
        raise TlsError("cipher_suites", f"OpenSSL knows none of {', '.join(suites)}") from None


def _verify_clients(context: ssl.SSLContext, tls: ServerTls) -> None:
    infos(tls.client_ca_file, "client_ca_file")
    try:
        with file_of(tls.client_ca_file.text) as path:
            context.load_verify_locations(path)
        if tls.client_crl_file.file:
            if not pem_blocks(tls.client_crl_file.text, "X509 CRL"):
                raise TlsError("client_crl_file", f"{tls.client_crl_file.file!r} has no revocation list in PEM format")
            with file_of(tls.client_crl_file.text) as path:
                context.load_verify_locations(path)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except ssl.SSLError as error:
        raise TlsError("client_ca_file", f"{tls.client_ca_file.file!r} can't be used: {describe(error)}") from None
    except ValueError as error:
        raise TlsError("client_crl_file", f"{tls.client_crl_file.file!r}: {error}") from None
    context.verify_mode = ssl.CERT_REQUIRED if tls.client_auth == "require-and-verify" else ssl.CERT_OPTIONAL


def certificate_context(
    certificates: tuple[Certificate, ...], alpn: tuple[str, ...], suites: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """A context with a certificate, or with an EC and an RSA one for the same name side by side.

    OpenSSL takes the suites from the context that is set last, too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_suites(context, suites)
    for certificate in certificates:
        load_pair(context, certificate)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


ContextKey = tuple[tuple[Certificate, ...], tuple[str, ...], tuple[str, ...]]  # the certificates, ALPN, suites


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
        key = certificates, self.settings.alpn_protocols, self.settings.cipher_suites
        context = self.certificates.get(key) or known.get(key)
        if context is None:
            context = certificate_context(*key)
        self.certificates[key] = context
        return context

    def find(self, server_name: str) -> ssl.SSLContext | None:
        """The context of the certificate for a name; None where strict_sni refuses it."""
        found = self._names.find(server_name) if server_name else None
        if found is None and not self.settings.strict_sni:
            return self.default
        return found


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
