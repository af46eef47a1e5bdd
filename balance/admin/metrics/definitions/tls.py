"""TLS handshakes, certificates, revocation lists, and the keys of tokens."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, Definition

HANDSHAKES: Final = Definition(
    "balance_tls_handshakes_total",
    COUNTER,
    ("result",),
    "TLS handshakes of clients.",
    "The words besides ok are those of `why` without tls_.",
    "where TLS is used",
)
EXPIRY: Final = Definition(
    "balance_tls_certificate_expiry_seconds",
    GAUGE,
    ("listener", "certificate"),
    "When the certificate ends, in seconds since the epoch.",
    "Renew it; it is read again by itself.",
    "where TLS is used",
)
CRL_EXPIRY: Final = Definition(
    "balance_tls_crl_expiry_seconds",
    GAUGE,
    ("listener", "crl"),
    "When the first of the client revocation lists in a file ends, in seconds since the epoch.",
    "After it no client certificate is accepted: fetch a new list.",
    "where clients' certificates are verified against a list",
)
KEYS_AGE: Final = Definition(
    "balance_jwks_age_seconds",
    GAUGE,
    ("url",),
    "How old the keys of tokens are; -1: there are none.",
    "Older than refreshes should let it get: the URL does not answer.",
    "where tokens' keys come from a URL",
)
KEYS_UP: Final = Definition(
    "balance_jwks_up",
    GAUGE,
    ("url",),
    "1 when the last fetch of keys was good.",
    "0: `balance status` has the reason.",
    "where tokens' keys come from a URL",
)
KEYS_FETCHES: Final = Definition(
    "balance_jwks_fetches_total",
    COUNTER,
    ("url", "result"),
    "Fetches of keys, by result.",
    "Failures: as above.",
    "where tokens' keys come from a URL",
)

DEFINITIONS: Final = (HANDSHAKES, EXPIRY, CRL_EXPIRY, KEYS_AGE, KEYS_UP, KEYS_FETCHES)
