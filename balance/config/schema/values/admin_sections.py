"""The section `admin`: the port for operators, who may ask there, and its TLS."""

from __future__ import annotations

import re
from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.addresses import LISTEN
from balance.config.schema.section import Flag, Name, Section, key
from balance.config.schema.values.tls_sections import CERT_TEXT, KEY_TEXT, PASSWORD_TEXT, VARIABLE, VERSION
from balance.model import Address

MIN_TOKEN_CHARS = 20  # as long as 120 random bits in base64
MIN_DISTINCT = 8  # characters; `changemechangemechangeme` has fewer
# Those of the examples, which everybody knows.
PUBLISHED = ("an-example-of-a-token-that-everybody-knows", "an-example-of-a-read-only-token-everybody-knows")
_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


def admin_token(value: object) -> str:
    """A token; what is wrong with it is said without it."""
    text = kind.secret_text(value)
    if not text:
        raise ValueError("is empty, and who sends nothing would be let in; `openssl rand -hex 24` makes a token")
    if not _B64TOKEN.fullmatch(text):
        raise ValueError("has characters that no token has: write letters, digits and ._~+/- alone")
    if len(text) < MIN_TOKEN_CHARS or len(set(text)) < MIN_DISTINCT:
        raise ValueError(
            f"can be guessed: write {MIN_TOKEN_CHARS} characters, {MIN_DISTINCT} of them different; "
            "`openssl rand -hex 24` makes one"
        )
    return text


TOKEN = kind.Scalar(admin_token, {"type": "string", "minLength": MIN_TOKEN_CHARS})


class AdminTokenSection(Section):
    """A token and its name. Several are good at once: add the new one, reload, change who uses it, take out the old one."""

    section_name = "admin.auth.tokens"
    name: Name = key("Its name, which stands by every order in the log.", required=True)
    token: Annotated[str, TOKEN] = key("The token; write ${ADMIN_TOKEN}, a variable of the environment.")
    token_file: Annotated[str, kind.FILE] = key(
        "A file with it instead; a path is from this file's folder. Reloads read it anew."
    )


class AdminAuthSection(Section):
    """Who may ask: whoever has a token (Authorization: Bearer). Health, readiness, version and metrics need none."""

    section_name = "admin.auth"
    tokens: list[AdminTokenSection] = key("Those that may read and change.")
    read_only_tokens: list[AdminTokenSection] = key("Those that may read alone.")


class AdminTlsSection(Section):
    """TLS of the admin port, by one certificate. Changed files are served within seconds, without a reload."""

    section_name = "admin.tls"
    enabled: Flag = key("Whether it is spoken; true when there is a section.", True)
    cert_file: Annotated[str, kind.FILE] = key(CERT_TEXT)
    key_file: Annotated[str, kind.FILE] = key(KEY_TEXT)
    key_password_env: Annotated[str, VARIABLE] = key(PASSWORD_TEXT)
    min_version: Annotated[str, VERSION] = key("The oldest version that is spoken.", "1.2")
    client_auth: Annotated[str, kind.choice("none", "verify", "require-and-verify")] = key(
        "Client certificates, besides tokens: none, verify (those that come), or require-and-verify.", "none"
    )
    client_ca_file: Annotated[str, kind.FILE] = key("Who issues client certificates, in PEM format.")
    client_crl_file: Annotated[str, kind.FILE] = key("A list of revoked ones, in PEM format.")


class AdminSection(Section):
    """The port for operators: health, status, backends."""

    section_name = "admin"
    enabled: Flag = key("Whether there is one.", True)
    listen: Annotated[Address, LISTEN] = key(
        "Its address. On one that is neither loopback nor a Unix socket nothing starts without tokens.",
        "127.0.0.1:9090",
    )
    auth: AdminAuthSection = key("Who may ask.")
    tls: AdminTlsSection = key("TLS.")
    dashboard: Flag = key("Whether there is a page for browsers at `/`.", True)
