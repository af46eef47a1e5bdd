"""Where the admin port is and what gets in there, from options, the environment and a configuration file.

A token is never an argument, which everybody on the machine can read. One from a configuration is sent to its address alone.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, replace
from typing import Any

import click

from balance.model import Address

DEFAULT = "127.0.0.1:9090"
TOKEN, TOKEN_FILE = "BALANCE_ADMIN_TOKEN", "BALANCE_ADMIN_TOKEN_FILE"
CA_FILE, CLIENT_CERT, CONFIG = "BALANCE_ADMIN_CA_FILE", "BALANCE_ADMIN_CLIENT_CERT", "BALANCE_CONFIG"


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """How a client connects, and what it shows."""

    address: Address
    is_tls: bool = False
    token: str = ""
    token_source: str = ""  # for messages
    ca_file: str = ""
    client_cert: str = ""  # a file with certificate and key
    pinned_cert: str = ""  # a file: its first certificate is the one that is expected

    def __repr__(self) -> str:  # without the token, whatever prints it
        return f"AdminAccess({self.address})"

    @property
    def url(self) -> str:
        """For messages."""
        return f"https://{self.address}" if self.is_tls else str(self.address)

    def context(self) -> ssl.SSLContext:
        """The TLS of the client. BadParameter for a file that can't be used."""
        context = ssl.create_default_context()
        try:
            if self.ca_file:
                context = ssl.create_default_context(cafile=self.ca_file)
            if self.client_cert:
                context.load_cert_chain(self.client_cert)
        except (OSError, ValueError) as error:
            file = " or ".join(filter(None, (self.ca_file, self.client_cert)))
            why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            raise click.UsageError(f"{file}: can't be used for TLS: {why}") from None
        if self.pinned_cert:  # compared as a whole after the handshake
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def expected_der(self) -> bytes | None:
        """The certificate that has to be there; None: whichever the authorities vouch for."""
        if not self.pinned_cert:
            return None
        try:
            with open(self.pinned_cert) as file:
                text = file.read(1024 * 1024)
            end = "-----END CERTIFICATE-----"
            return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)])
        except (OSError, ValueError):
            raise click.UsageError(
                f"{self.pinned_cert} can't be read, so the admin port's certificate can't be told: --ca-file FILE"
            ) from None


def parse_address(text: str) -> AdminAccess:
    """host:port, :port, unix:/path, http://host:port or https://host:port."""
    is_tls = text.startswith("https://")
    try:
        bare = text.removeprefix("https://").removeprefix("http://").rstrip("/")
        return AdminAccess(Address.parse(bare, default_host="127.0.0.1"), is_tls)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--admin") from None


def find_access(admin: str | None, options: dict[str, str]) -> AdminAccess:
    """`options` are those given on the command line: token_file, ca_file, client_cert, config."""
    config = options.get("config") or os.environ.get(CONFIG, "")
    found = parse_address(admin) if admin else _of_file(config, is_needed="config" in options) or parse_address(DEFAULT)
    ca_file = options.get("ca_file") or os.environ.get(CA_FILE, "")
    if ca_file:
        found = replace(found, ca_file=ca_file, pinned_cert="", is_tls=True)
    if client_cert := options.get("client_cert") or os.environ.get(CLIENT_CERT, ""):
        found = replace(found, client_cert=client_cert, is_tls=True)
    if file := options.get("token_file") or os.environ.get(TOKEN_FILE, ""):
        return replace(found, token=_read_token(file), token_source=file)
    if token := os.environ.get(TOKEN, "").strip():
        return replace(found, token=_checked(token, TOKEN), token_source=TOKEN)
    return found


def _read_token(file: str) -> str:
    try:
        with open(file, encoding="ascii") as opened:
            return _checked(opened.read(65536).strip(), file)
    except OSError as error:
        raise click.UsageError(f"{file}: can't be read: {error.strerror}") from None
    except ValueError:
        raise click.UsageError(f"{file}: is no token") from None


def _checked(token: str, source: str) -> str:
    if not (token and token.isascii() and token.isprintable() and " " not in token):
        raise click.UsageError(f"{source}: is no token: one line of letters, digits and ._~+/-")
    return token


def _of_file(path: str, *, is_needed: bool) -> AdminAccess | None:
    """What a configuration file says of its admin port; None where it can't be read and nobody asked for it."""
    if not path:
        return None
    from balance.config.loading import read_text  # where a file is named alone: it takes a moment
    from balance.config.reading.reader import read
    from balance.errors import ConfigError

    try:
        document, _ = read(read_text(path), path, os.environ)
    except ConfigError as error:
        if is_needed:
            raise click.UsageError(str(error)) from None
        return None
    admin = document.data.get("admin")
    return _of_section(admin if isinstance(admin, dict) else {}, os.path.dirname(path))


def _of_section(admin: dict[str, Any], folder: str) -> AdminAccess:
    found = parse_address(str(admin.get("listen", DEFAULT)))
    if found.address.host in ("0.0.0.0", "::"):
        found = replace(found, address=Address("127.0.0.1", found.address.port))
    tls = admin.get("tls")
    if isinstance(tls, dict) and tls.get("enabled", True) is not False and isinstance(tls.get("cert_file"), str):
        found = replace(found, is_tls=True, pinned_cert=os.path.join(folder, tls["cert_file"]))
    auth = admin.get("auth")
    auth = auth if isinstance(auth, dict) else {}
    for key in ("tokens", "read_only_tokens"):
        for entry in auth.get(key) or ():
            if not isinstance(entry, dict):
                continue
            source = f"{key} of the configuration"
            if isinstance(entry.get("token"), str):
                return replace(found, token=entry["token"].strip(), token_source=source)
            if isinstance(entry.get("token_file"), str):
                try:
                    return replace(found, token=_read_token(os.path.join(folder, entry["token_file"])), token_source=source)
                except click.UsageError:
                    continue  # not for us to read; perhaps the next one is
    return found
