"""The section `redis`, and its URL. No message quotes the URL, which may have a password."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, parse_qsl, urlsplit

from balance.config.schema import scalars as kind
from balance.config.schema.scalars import Scalar
from balance.config.schema.section import Section, key

_FORMS = "redis://[user:password@]host[:port][/db], rediss://... (TLS) or unix:///path/to/socket"
_OF_TLS = frozenset(["ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"])  # names of the redis library's own


def _parse_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {_FORMS}, got {kind.display(value)}")
    text = value.strip()
    if not text:  # as from ${REDIS_URL:-}
        return ""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(
            f"its host or port can't be read; write {_FORMS}, with %40 for @ and %2F for / in a password"
        ) from None
    if url.scheme not in ("redis", "rediss", "unix"):
        shown = f"the scheme {url.scheme[:20]!r} is not known" if url.scheme and "://" in text else "it is no URL"
        raise ValueError(f"{shown}; write {_FORMS}")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"a URL has no spaces and control characters; write {_FORMS}")
    if url.scheme == "unix":
        if not url.path.startswith("/") or url.hostname:
            raise ValueError("a Unix socket needs an absolute path, like unix:///run/redis.sock")
    elif not url.hostname:
        raise ValueError(f"it has no host; write {_FORMS}")
    elif port == 0:
        raise ValueError("port 0 is not in 1..65535")
    elif url.path not in ("", "/") and not _is_number(url.path[1:]):
        raise ValueError("what follows the host is the number of a database, like redis://host:6379/0")
    if url.fragment:
        raise ValueError("a URL has %23 for # in a password")
    _check_query(url)
    return text


def _check_query(url: SplitResult) -> None:
    allowed = _OF_TLS if url.scheme == "rediss" else frozenset(["db"]) if url.scheme == "unix" else frozenset[str]()
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        if name not in allowed:
            known = f"; allowed: {', '.join(sorted(allowed))}" if allowed else ""
            raise ValueError(f"the parameter {name[:40]!r} is not known in a {url.scheme}:// URL{known}")
        if name == "db" and not _is_number(value):
            raise ValueError("db is the number of a database, like unix:///run/redis.sock?db=0")
        if name == "ssl_cert_reqs" and value not in ("none", "optional", "required"):
            raise ValueError("ssl_cert_reqs is none, optional or required")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6


REDIS_URL = Scalar(_parse_url, {"type": "string", "pattern": r"^((rediss?://|unix://)\S+)?$"})


class RedisSection(Section):
    """The store that several machines share: the one place that names it. It is used by session_affinity.mode: redis, and by
    rate_limit.scope: redis."""

    section_name = "redis"
    url: Annotated[str, REDIS_URL] = key(
        "redis://[user:password@]host[:port][/db], rediss:// for TLS, or unix:///path?db=0. Without it what would be shared is "
        "kept on this machine.",
        "",
    )
    prefix: Annotated[str, kind.text_matching(r"[!-~]{1,100}", "letters, digits and signs without spaces", 100)] = key(
        "What the names of its keys and channels begin with.", "balance:"
    )
    timeout: Annotated[float, kind.duration()] = key(
        "How long a request may wait for it: one of a session. For limits none waits.", "50ms"
    )
    on_failure: Annotated[str, kind.choice("local", "deny")] = key(
        "While it can't be used: go on by what this machine knows, or answer 503 to who would need it: whose session is not "
        "known here, and everybody with a limit of scope redis.",
        "local",
    )
