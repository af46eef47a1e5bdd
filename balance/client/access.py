"""Where an admin port is and what gets in there: an address, TLS, a token. Nothing here shows a token."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field, replace

from balance.client.errors import AccessError
from balance.model import Address

DEFAULT = "127.0.0.1:9090"
ADMIN, TOKEN, TOKEN_FILE = "BALANCE_ADMIN", "BALANCE_ADMIN_TOKEN", "BALANCE_ADMIN_TOKEN_FILE"
CA_FILE, CLIENT_CERT = "BALANCE_ADMIN_CA_FILE", "BALANCE_ADMIN_CLIENT_CERT"
MAX_FILE_BYTES = 1024 * 1024


class Token:
    """A secret that shows itself to nobody but `reveal`, whatever prints, formats or pickles the objects around it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Token(***)" if self._text else "Token()"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled")

    def reveal(self) -> str:
        """The text, for the request that carries it."""
        return self._text


@dataclass(frozen=True, slots=True)
class Access:
    """How a client connects, and what it shows."""

    address: Address
    is_tls: bool = False
    token: Token = field(default_factory=lambda: Token(""))
    token_source: str = ""  # for messages
    ca_file: str = ""
    client_cert: str = ""  # a file with the certificate, and with the key where that has no file of its own
    client_key: str = ""
    pinned_cert: str = ""  # a file: its first certificate is the one that is expected
    read_only_reason: str = ""  # why no order is sent

    def __repr__(self) -> str:
        return f"Access({self.url})"

    @property
    def url(self) -> str:
        """For messages."""
        return f"https://{self.address}" if self.is_tls else str(self.address)

    @property
    def is_local(self) -> bool:
        """Whether the address is a Unix socket or a loopback address of this host."""
        return self.address.is_local

    def context(self) -> ssl.SSLContext:
        """The TLS of the client. AccessError for a file that can't be used."""
        context = ssl.create_default_context()
        try:
            if self.ca_file:
                context = ssl.create_default_context(cafile=self.ca_file)
            if self.client_cert:
                context.load_cert_chain(self.client_cert, self.client_key or None, _no_passphrase)
        except (OSError, ValueError) as error:
            file = " or ".join(filter(None, (self.ca_file, self.client_cert, self.client_key)))
            why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            raise AccessError(f"{file}: can't be used for TLS: {why}") from None
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
                text = file.read(MAX_FILE_BYTES)
            end = "-----END CERTIFICATE-----"
            return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)])
        except (OSError, ValueError):
            raise AccessError(
                f"{self.pinned_cert} can't be read, so the admin port's certificate can't be told; name who vouches for it"
            ) from None


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")  # without this, OpenSSL would ask on the terminal


def parse_address(text: str) -> Access:
    """host:port, :port, unix:/path, http://host:port or https://host:port. ValueError quotes what is none."""
    bare = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    return Access(Address.parse(bare, default_host="127.0.0.1"), text.startswith("https://"))


def access_to(
    address: str,
    *,
    token: str = "",
    token_file: str = "",
    ca_file: str = "",
    client_cert: str = "",
    client_key: str = "",
) -> Access:
    """What is given by hand. AccessError for what can't be used."""
    try:
        found = parse_address(address)
    except ValueError as error:
        raise AccessError(str(error)) from None
    found = with_tls(found, ca_file, client_cert, client_key)
    if token:
        return replace(found, token=checked_token(token, "the caller"), token_source="the caller")
    return with_token_file(found, token_file) if token_file else found


def access_of_environment(address: str = "") -> Access:
    """By BALANCE_ADMIN, or `address`, and the variables beside it."""
    found = access_to(
        address or os.environ.get(ADMIN) or DEFAULT,
        ca_file=os.environ.get(CA_FILE, ""),
        client_cert=os.environ.get(CLIENT_CERT, ""),
    )
    return with_environment_token(found)


def with_tls(found: Access, ca_file: str, client_cert: str, client_key: str = "") -> Access:
    """With TLS by these files, as far as they are named."""
    if ca_file:
        found = replace(found, ca_file=ca_file, pinned_cert="", is_tls=True)
    if client_cert:
        found = replace(found, client_cert=client_cert, client_key=client_key, is_tls=True)
    return found


def with_token_file(found: Access, file: str) -> Access:
    """With the token in that file."""
    return replace(found, token=read_token(file), token_source=file, read_only_reason="")


def with_environment_token(found: Access) -> Access:
    """With the token that the environment has or names, if it does."""
    if file := os.environ.get(TOKEN_FILE, ""):
        return with_token_file(found, file)
    if os.environ.get(TOKEN, "").strip():
        token = checked_token(os.environ[TOKEN].strip(), TOKEN)
        return replace(found, token=token, token_source=TOKEN, read_only_reason="")
    return found


def read_token(file: str) -> Token:
    """The token that a file has. AccessError says why it has none."""
    try:
        with open(file, encoding="ascii") as opened:
            return checked_token(opened.read(65536).strip(), file)
    except OSError as error:
        raise AccessError(f"{file}: can't be read: {error.strerror}") from None
    except ValueError:
        raise AccessError(f"{file}: is no token") from None


def checked_token(token: str, source: str) -> Token:
    """A token that may stand in a header field."""
    if not (token and token.isascii() and token.isprintable() and " " not in token):
        raise AccessError(f"{source}: is no token: one line of letters, digits and ._~+/-")
    return Token(token)
