"""Who a verified client is, as field lines for backends.

All values are printable ASCII without line breaks: subjects are escaped by RFC 4514, other names by percent-encoding. A value
that is too long for a field is left out as a whole; cut off, it might name somebody else.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from balance.tls.der import first, items
from balance.tls.distinguished_name import name_text
from balance.tls.x509 import parse_certificate

PREFIX: Final = "X-SSL-Client-"
VERIFY: Final = "X-SSL-Client-Verify"
# The fields of a client with a certificate, by what they say.
NAMES: Final = (VERIFY, f"{PREFIX}DN", f"{PREFIX}Issuer-DN", f"{PREFIX}SAN", f"{PREFIX}Serial", f"{PREFIX}Fingerprint")
MAX_VALUE: Final = 4096  # bytes of one value; servers take 8 KB in all, often
MAX_USER: Final = 256  # characters

_NO_CERTIFICATE: Final = f"{VERIFY}: NONE\r\n".encode()
_SAFE: Final = "!$&'()*+-./:;=?@_~"  # as in URIs; not the comma between two names


@lru_cache(maxsize=1024)
def user_of(der: bytes) -> str:
    """His name for logs: the subject; the fingerprint where that is too long or can't be read."""
    try:
        subject = name_text(parse_certificate(der).subject)
    except (ValueError, IndexError):
        subject = ""
    return subject if 0 < len(subject) <= MAX_USER else hashlib.sha256(der).hexdigest()


def identity_lines(der: bytes | None) -> bytes:
    """The lines about a client by its certificate, which OpenSSL has verified; None: it gave none."""
    return _NO_CERTIFICATE if der is None else _lines(der)


@lru_cache(maxsize=1024)
def _lines(der: bytes) -> bytes:
    verify, subject, issuer, names, serial, fingerprint = NAMES
    values = [(verify, "SUCCESS")]
    try:
        info = parse_certificate(der)
        values += [
            (subject, name_text(info.subject)),
            (issuer, name_text(info.issuer)),
            (names, ",".join(alternative_names(info.alternative_names))),
            (serial, info.serial.hex().upper()),
        ]
    except (ValueError, IndexError):  # what OpenSSL can read and we can't is told by its fingerprint alone
        pass
    values.append((fingerprint, hashlib.sha256(der).hexdigest()))
    return b"".join([f"{name}: {value}\r\n".encode("ascii") for name, value in values if 0 < len(value) <= MAX_VALUE])


def alternative_names(value: bytes) -> Iterator[str]:
    """The names of subjectAltName (RFC 5280 section 4.2.1.6), each with its kind, as `DNS:a.example` or `URI:spiffe://x/y`."""
    if not value:
        return
    for tag, name in items(first(value)):
        if tag == 0x87 and len(name) in (4, 16):
            yield f"IP:{ipaddress.ip_address(name)}"
        elif tag in (0x81, 0x82, 0x86):
            kind = {0x81: "email", 0x82: "DNS", 0x86: "URI"}[tag]
            yield f"{kind}:{quote(name, safe=_SAFE)}"
