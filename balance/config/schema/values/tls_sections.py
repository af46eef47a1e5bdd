"""The sections `tls`: certificates, versions, and who may come."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.section import Flag, Name, Period, Section, key

VERSION = kind.text_matching(r"1\.[23]", 'a version; write "1.2" or "1.3", in quotes', 3)
_CIPHER = kind.text_matching(r"[A-Za-z0-9_+!-]+", "the name of a cipher suite, like ECDHE-RSA-AES128-GCM-SHA256", 100)
_ALPN = kind.text_matching(r"[!-~]{1,255}", "the name of a protocol, like http/1.1", 255)
_DOMAIN = kind.text_matching(
    r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?",
    "a host name, like www.example.com or *.example.com",
    253,
)
VARIABLE = kind.text_matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable", 200)

# Python's ssl leaves no certificate that is given unverified.
CLIENT_AUTH_ALIASES = {"request": "verify", "require": "require-and-verify"}
_CLIENT_AUTH = kind.choice("none", "verify", "require-and-verify", spellings=CLIENT_AUTH_ALIASES)

CERT_TEXT = "The certificate in PEM format, then its intermediates; a path is from this file's folder."
KEY_TEXT = "Its private key in PEM format; it may be the same file."
PASSWORD_TEXT = "The environment variable with the password of an encrypted key."


class CertificateSection(Section):
    """A certificate with its key. An EC and an RSA one for the same names stand side by side, and each client gets what it
    can use."""

    section_name = "certificates"
    cert_file: Annotated[str, kind.FILE] = key(CERT_TEXT, required=True)
    key_file: Annotated[str, kind.FILE] = key(KEY_TEXT, required=True)
    key_password_env: Annotated[str, VARIABLE] = key(PASSWORD_TEXT)
    domains: list[Annotated[str, _DOMAIN]] = key(
        "The names that it is served for: exact, or *. for one label. Default: those in the certificate."
    )
    default: Flag = key(
        "Whether it is served to who asks for no name, or for one that nobody has. Default: the first is.", False
    )


class SniSection(Section):
    """Passes TLS through unterminated, to a pool by the name that a client asks for (SNI); mode tcp, without certificates.

    Who asks for another name, for none, or speaks something else goes to the listener's own pool, or is closed without one."""

    section_name = "sni"
    routes: dict[Annotated[str, _DOMAIN], Name] = key(
        "The pool of each name: exact, or *. for one label. The outer name counts where ClientHellos are encrypted.",
        required=True,
    )


_SERVER_NAME = kind.text_matching(
    r"[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*|"
    + r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?",
    "a host name or an IP address, without a port",
    253,
)


class BackendTlsSection(Section):
    """TLS to backends: of a pool, or of every pool that doesn't say otherwise. Health checks have the same.

    Backends are verified, by their name too, unless `verify` says otherwise; a handshake is a part of `timeouts.connect`."""

    section_name = "tls.backend"
    enabled: Flag = key(
        "Whether backends have it whose address has no scheme; those with https:// always have. True when there is a section.",
        True,
    )
    verify: Flag = key(
        "Whether a backend's certificate has to be trusted, and to be for its name. false is for tests: anybody on the way may "
        "then read and change what is sent.",
        True,
    )
    ca_file: Annotated[str, kind.FILE] = key(
        "Who is trusted, in PEM format, and nobody else. Default: the system's authorities."
    )
    client_cert_file: Annotated[str, kind.FILE] = key(
        "Our own certificate, for backends that ask for one (mTLS), in PEM format."
    )
    client_key_file: Annotated[str, kind.FILE] = key(KEY_TEXT)
    client_key_password_env: Annotated[str, VARIABLE] = key(PASSWORD_TEXT)
    server_name: Annotated[str, _SERVER_NAME] = key(
        "The name that is asked for (SNI) and that the certificate has to be for. Default: the host of the backend's "
        "address, a name or an IP address."
    )


class ServerTlsSection(Section):
    """TLS of a listener towards its clients. Keys given here win over those at the top, one by one."""

    section_name = "listener tls"
    enabled: Flag = key("Whether it is spoken; true when there is a section.", True)
    certificates: list[CertificateSection] = key("The certificates, chosen by the name that a client asks for (SNI).")
    cert_file: Annotated[str, kind.FILE] = key(f"For one certificate alone. {CERT_TEXT}")
    key_file: Annotated[str, kind.FILE] = key(KEY_TEXT)
    key_password_env: Annotated[str, VARIABLE] = key(PASSWORD_TEXT)
    min_version: Annotated[str, VERSION] = key("The oldest version that is spoken.", "1.2")
    max_version: Annotated[str, VERSION] = key("The newest.", "1.3")
    cipher_suites: list[Annotated[str, _CIPHER]] = key(
        "Those of TLS 1.2, the best first; OpenSSL decides on those of 1.3. Default: ECDHE with AES-GCM or ChaCha20."
    )
    alpn_protocols: list[Annotated[str, _ALPN]] = key(
        "What is offered by ALPN, the best first. Default with mode http: h2 (HTTP/2) and http/1.1, all that it speaks; a "
        "client that takes none speaks HTTP/1.1. Default with mode tcp: nothing."
    )
    session_tickets: Flag = key("Whether clients may resume a session, at any worker.", True)
    strict_sni: Flag = key("Whether a client that asks for no name of a certificate is refused (unrecognized_name).", False)
    client_auth: Annotated[str, _CLIENT_AUTH] = key(
        "Certificates of clients. none: they are not asked for one. verify: they are, and may come without; one that is given "
        "has to be good, or there is no connection. require-and-verify: nobody comes in without a good one. request is taken "
        "as verify, and require as require-and-verify, with a warning: a certificate that is not verified would say nothing.",
        "none",
    )
    client_ca_file: Annotated[str, kind.FILE] = key(
        "The authorities whose certificates count, in PEM format, with the root of each; the system's own never do."
    )
    client_crl_file: Annotated[str, kind.FILE] = key(
        "Their revocation lists in PEM format, one for each authority in client_ca_file."
    )
    redirect_http: Annotated[bool | int, kind.flag_or_port()] = key(
        "In a listener without TLS (enabled: false): whether its clients are sent to https. true: to the port of the first "
        "listener with TLS; a number: to that port. Its routes below /.well-known/acme-challenge/ stay.",
        False,
    )
    sni: SniSection = key("Routes of TLS that is not terminated here.")
    handshake_timeout: Period = key("From the connection's begin to the end of the handshake.", "10s")


class TlsSection(ServerTlsSection):
    """TLS towards clients. Every listener has that at the top; keys of its own win, one by one."""

    section_name = "tls"
    backend: BackendTlsSection = key("TLS to backends, in every pool that doesn't say otherwise.")
