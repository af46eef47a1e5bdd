"""Errors and warnings of `admin`: a port that others reach needs tokens, and what was asked for is there or nothing starts."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.checking.tls.tls_errors import certificate_warnings
from balance.config.model import AdminTls, AdminToken, Config
from balance.config.reading.admin_settings import digest
from balance.config.reading.document import Document, Path
from balance.config.schema.values.admin_sections import PUBLISHED
from balance.tls.pem_loading import TlsError, infos, try_pair
from balance.tls.policy import load_client_trust, policy_context

Finding = tuple[Path, str]

LISTEN: Path = ("admin", "listen")
TLS: Path = ("admin", "tls")
_PUBLISHED = frozenset(map(digest, PUBLISHED))


def admin_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """What keeps an instance from starting."""
    admin, document = config.admin, paths.document
    has_tokens = bool(admin.auth.tokens or admin.auth.read_only_tokens)
    is_reported = any(path[:2] == ("admin", "auth") for path in document.broken)
    if admin.enabled and not admin.address.is_local and not has_tokens and not is_reported:
        yield (
            LISTEN,
            f"{admin.address} is reached from elsewhere, and there who asks needs a token; write admin: {{auth: {{tokens: "
            "[{name: ops, token_file: ops.token}]}}, or listen on 127.0.0.1:9090 (probes and metrics from elsewhere: "
            "metrics.listen)",
        )
    auth: Path = ("admin", "auth")
    if document.has(auth) and not has_tokens and not is_reported:
        yield auth, "has no tokens; write tokens: [{name: ops, token_file: ops.token}], or leave it out"
    yield from _tokens(config, document)
    if admin.tls.enabled:
        yield from _tls(admin.tls, document)


def _tokens(config: Config, document: Document) -> Iterator[Finding]:
    names: set[str] = set()
    known: set[bytes] = set()
    for key in ("tokens", "read_only_tokens"):
        tokens: tuple[AdminToken, ...] = getattr(config.admin.auth, key)
        for number, token in enumerate(tokens):
            path = ("admin", "auth", key, number)
            given = [name for name in ("token", "token_file") if document.has((*path, name))]
            if not given:
                yield path, "has no token; write token_file, or token: ${ADMIN_TOKEN}"
            elif len(given) > 1:
                yield (*path, "token_file"), "stands beside token; write one of them"
            if token.token in _PUBLISHED and not config.admin.address.is_local:
                yield path, "is the one of the examples, which everybody knows; `openssl rand -hex 24` makes one"
            if token.name and token.name in names:
                yield (*path, "name"), f"{token.name!r} is the name of another token; the log could not tell them apart"
            if token.token and token.token in known:
                yield (*path, given[0]) if given else path, "is the same as another one's; each has a token of its own"
            names.add(token.name)
            known.add(token.token)


def _tls(tls: AdminTls, document: Document) -> Iterator[Finding]:
    missing = [name for name in ("cert_file", "key_file") if not getattr(tls, name).file]
    if missing:
        yield TLS, f"{missing[0]!r} is missing; TLS needs cert_file and key_file"
    elif tls.cert_file.text and tls.key_file.text:
        try:
            infos(tls.cert_file)
            try_pair(tls.certificate)
        except TlsError as error:
            yield (*TLS, error.key), str(error)
    else:
        for name in ("cert_file", "key_file"):
            if not getattr(tls, name).text:
                yield (*TLS, name), f"{getattr(tls, name).file!r} is empty or can't be read"
    if tls.client_auth == "none":
        for name in ("client_ca_file", "client_crl_file"):
            if document.has((*TLS, name)):
                yield (*TLS, name), "has no effect without client_auth; write verify or require-and-verify"
        return
    try:
        load_client_trust(policy_context(tls.policy), tls.policy)
    except TlsError as error:
        yield (*TLS, error.key), str(error)


def admin_warnings(config: Config, paths: KeyPaths, now: float) -> Iterator[Finding]:
    """What works and will be regretted. `now` is seconds since the epoch."""
    admin = config.admin
    if not admin.enabled:
        return
    if admin.tls.enabled:
        for message in certificate_warnings(admin.tls.certificate, now):
            yield (*TLS, "cert_file"), message
    elif not admin.address.is_local:
        yield LISTEN, f"{admin.address} is reached from elsewhere without admin.tls: whoever is between can read tokens"
