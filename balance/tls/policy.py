"""The OpenSSL context that decides who may enter: versions, suites, tickets, client certificates.

OpenSSL takes these from the context that a connection begins with, and the authorities and revocation lists from the one that
is set last: the certificate's. So whether certificates are asked for is set here, and whose count by load_client_trust() there.
"""

from __future__ import annotations

import ssl
from typing import Final

from balance.tls.pem_loading import TlsError, describe, file_of, infos, load_pair
from balance.tls.revocation_lists import ignored, revocation_lists, without_list
from balance.tls.settings import PemFile, ServerTls

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# TLS 1.2: forward secrecy and AEAD alone, as Mozilla's intermediate profile has it.
DEFAULT_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_MODES: Final = {"none": ssl.CERT_NONE, "verify": ssl.CERT_OPTIONAL, "require-and-verify": ssl.CERT_REQUIRED}


def policy_context(tls: ServerTls) -> ssl.SSLContext:
    """TlsError when OpenSSL does not take a setting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    # OP_NO_RENEGOTIATION: a client would make the server work for nothing, and a second handshake could change who it is.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    set_suites(context, tls.cipher_suites)
    # Where client certificates count, a ticket would outlive a revocation: none is given out.
    if not tls.session_tickets or tls.verifies_clients:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    context.verify_mode = _MODES[tls.client_auth]
    if tls.client_crl_file.file:
        # Each certificate up to the root, as nginx and HAProxy do: an authority between may be revoked, too.
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def set_suites(context: ssl.SSLContext, suites: tuple[str, ...]) -> None:
    """The suites of TLS 1.2; () for the default. TlsError when OpenSSL knows none of them."""
    try:
        context.set_ciphers(":".join(suites) or DEFAULT_CIPHERS)
    except ssl.SSLError:
        raise TlsError("cipher_suites", f"OpenSSL knows none of {', '.join(suites)}") from None


def load_authorities(context: ssl.SSLContext, file: PemFile, key: str) -> None:
    """Trust the authorities in a file, and nobody else. TlsError, of this key, when there is none or OpenSSL takes none."""
    if not infos(file, key):
        return
    try:
        with file_of(file.text) as path:
            context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        why = describe(error) if isinstance(error, ssl.SSLError) else error.strerror
        raise TlsError(key, f"{file.file!r} can't be used: {why}") from None


def load_client_trust(context: ssl.SSLContext, tls: ServerTls) -> None:
    """Load whose client certificates count. TlsError when the files can't be used together."""
    if not tls.verifies_clients:
        return
    if not tls.client_ca_file.file:
        raise TlsError("client_ca_file", f"is missing; client_auth: {tls.client_auth} needs to know whose certificates count")
    load_authorities(context, tls.client_ca_file, "client_ca_file")
    authorities = infos(tls.client_ca_file, "client_ca_file")
    if not any(each.is_self_signed for each in authorities):
        # Else each client would be refused with a riddle, "unable to get issuer certificate".
        message = f"{tls.client_ca_file.file!r} has no root: certificates count up to a self-signed authority that is in it"
        raise TlsError("client_ca_file", message)
    crl = tls.client_crl_file
    if not crl.file:
        return
    try:
        lists = revocation_lists(crl)
        missing = without_list(lists, authorities)
        if missing:
            # OpenSSL refuses every client below an authority whose list it does not have.
            raise TlsError("client_crl_file", f"{crl.file!r} has no list of {missing[0]!r}, which is in client_ca_file")
        if problem := ignored(lists):
            raise TlsError("client_crl_file", f"{crl.file!r}: {problem}")
        with file_of(crl.text) as path:
            context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise TlsError("client_crl_file", f"{crl.file!r} can't be used: {describe(error)}") from None
    except (ValueError, IndexError) as error:
        raise TlsError("client_crl_file", f"{crl.file!r}: {error}") from None


def check_client_trust(tls: ServerTls) -> None:
    """TlsError when its files can't be used together."""
    load_client_trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """One context with all of it, for a server with a single certificate that chooses none by name. TlsError as above."""
    context = policy_context(tls)
    for certificate in tls.certificates:
        load_pair(context, certificate)
    if tls.alpn_protocols:
        context.set_alpn_protocols(list(tls.alpn_protocols))
    load_client_trust(context, tls)
    return context
