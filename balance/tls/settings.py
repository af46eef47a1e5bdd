"""What TLS is configured with: the contents of files beside their names, so that what is served can be compared and sent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


def now_s() -> float:
    """Seconds since the epoch, for what is compared with the dates in certificates."""
    return time.time()


@dataclass(frozen=True, slots=True)
class PemFile:
    """A file with certificates, keys or revocation lists; its content is in no log and no dump."""

    file: str = ""
    text: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return self.file


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain, and its key. `domains` empty: those in the certificate."""

    cert_file: PemFile = field(default_factory=PemFile)
    key_file: PemFile = field(default_factory=PemFile)
    key_password_env: str = ""  # the environment variable with the password of the key; "" for none
    domains: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """What is served, and kept where its files can't be used now: certificates, and revocation lists of clients."""

    certificates: tuple[Certificate, ...] = ()
    lists: tuple[PemFile, ...] = ()


@dataclass(frozen=True, slots=True)
class BackendTls:
    """The TLS of a pool's connections to its backends, those of health checks included."""

    enabled: bool = False  # for backends whose address has no scheme; one with https:// always has it
    verify: bool = True
    ca_file: PemFile = field(default_factory=PemFile)  # none: the system's trust store
    client_cert_file: PemFile = field(default_factory=PemFile)
    client_key_file: PemFile = field(default_factory=PemFile)
    client_key_password_env: str = ""
    server_name: str = ""  # for SNI and verification; "": the host of the backend's address

    def is_for(self, scheme: str) -> bool:
        """Whether it is spoken to a backend whose address has this scheme, "" for none."""
        return scheme == "https" or (self.enabled and not scheme)

    @property
    def client(self) -> Certificate | None:
        """Our own certificate towards backends, if there is one."""
        if not self.client_cert_file.file:
            return None
        return Certificate(self.client_cert_file, self.client_key_file, self.client_key_password_env)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The TLS of a listener."""

    enabled: bool = False
    certificates: tuple[Certificate, ...] = ()
    min_version: str = "1.2"
    max_version: str = "1.3"
    cipher_suites: tuple[str, ...] = ()  # for TLS 1.2; empty: OpenSSL's with forward secrecy and AEAD
    alpn_protocols: tuple[str, ...] = ()  # empty: http/1.1 in HTTP mode, none in TCP mode
    session_tickets: bool = True
    strict_sni: bool = False
    handshake_timeout_s: float = 10.0
    client_auth: str = "none"  # none, verify, require-and-verify
    client_ca_file: PemFile = field(default_factory=PemFile)
    client_crl_file: PemFile = field(default_factory=PemFile)

    @property
    def verifies_clients(self) -> bool:
        """Whether certificates of clients count."""
        return self.client_auth != "none"
