"""Value types of `security`: origins and methods of CORS, users, hashes, fields that say who asks."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from balance.config.schema.scalars import FIELD_NAME, METHOD, Scalar, as_text, display, text_matching
from balance.security.cors_origins import normalized_origin
from balance.security.forward_fields import NEVER_PASSED
from balance.security.jwt_keys import ALGORITHMS
from balance.security.password_hash import PasswordHash

# Fields that belong to the connection, to the message or to what is said of the client elsewhere.
_TAKEN = frozenset((
    "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect",
    "forwarded", "host", "http2-settings", "keep-alive", "max-forwards", "origin", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "x-request-id",
))  # fmt: skip


def _origin(value: object) -> str:
    return normalized_origin(as_text(value))


def _method(value: object) -> str:
    text = as_text(value)
    if text == "*":
        raise ValueError("'*' is no method here: it would not hold with credentials; list them, like [GET, PUT, DELETE]")
    return str(METHOD.read(text))


def _hash(value: object) -> str:
    text = as_text(value)  # not quoted: it is half a password
    PasswordHash(text)
    return text


def _identity_field(value: object) -> str:
    text = str(FIELD_NAME.read(value))
    if text.lower() in _TAKEN:
        raise ValueError(f"{text} has another meaning; write a field of your own, like X-User")
    return text


def _asked_field(value: object) -> str:
    text = str(FIELD_NAME.read(value))
    if text.lower() in NEVER_PASSED:
        raise ValueError(f"{text} belongs to a connection or to a body, and is never passed on here")
    return text


def _answered_field(value: object) -> str:
    text = str(FIELD_NAME.read(value))
    return text if text.lower() == "authorization" else _identity_field(text)


def _algorithm(value: object) -> str:
    text = as_text(value)
    if text not in ALGORITHMS:
        hint = ": an unsigned token is from anybody" if text.lower() == "none" else ""
        raise ValueError(f"{display(text)} is not one of {', '.join(ALGORITHMS)}{hint}")
    return text


def _jwks_url(value: object) -> str:
    text = as_text(value)  # not quoted: a query may be secret
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not re.fullmatch(r"[!-~]{1,2000}", text) or "#" in text or "\\" in text:
        raise ValueError("it is no URL; write one like https://login.example.org/jwks.json")
    if "@" in parts.netloc:
        raise ValueError("it has a user or password in it, which are not sent; keys of issuers are public")
    return text


def _token_source(value: object) -> str:
    text = as_text(value)
    kind, colon, name = text.partition(":")
    if kind in ("header", "cookie") and colon:
        if kind == "header" and name.lower() in ("authorization", "cookie"):
            raise ValueError(f"{display(text)}: write authorization, or cookie:NAME")
        FIELD_NAME.read(name)
        return text
    if text != "authorization":
        raise ValueError(f"{display(text)} is not one of authorization, header:NAME, cookie:NAME")
    return text


ASKED_FIELD = Scalar(_asked_field, {"type": "string", "minLength": 1})
ANSWERED_FIELD = Scalar(_answered_field, {"type": "string", "minLength": 1})
ASKED_PATH = text_matching(r'/[!"$-~]*', "a path; it begins with / and has no spaces", 2000)
JWKS_URL = Scalar(_jwks_url, {"type": "string", "pattern": "^https?://"})
JWT_ALGORITHM = Scalar(_algorithm, {"type": "string", "enum": [*ALGORITHMS]})
TOKEN_SOURCE = Scalar(_token_source, {"type": "string", "minLength": 1})
CLAIM = text_matching(r"[^\x00-\x1f\x7f]{1,500}", "a claim or value of one; write up to 500 characters", 500)
HASH = Scalar(_hash, {"type": "string", "minLength": 1})
USER = text_matching(r"[^:\x00-\x1f\x7f]{1,255}", "a user; write up to 255 characters without a colon", 255)
IDENTITY_FIELD = Scalar(_identity_field, {"type": "string", "minLength": 1})
ORIGIN = Scalar(_origin, {"type": "string", "minLength": 1})
CORS_METHOD = Scalar(_method, {"type": "string", "minLength": 1})
