"""What is said of a certificate to operators: names, dates, issuer, the key's kind and size (RFC 5280 section 4.1).

Trust is never decided here: OpenSSL does that. This reads the DER of certificates that the operator wrote into files.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from balance.tls.der import first, items, time_of

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)-----END \1-----", re.DOTALL)
_RSA: Final = bytes.fromhex("2a864886f70d010101")
_EC: Final = bytes.fromhex("2a8648ce3d0201")
_SAN: Final = bytes.fromhex("551d11")
_BASIC_CONSTRAINTS: Final = bytes.fromhex("551d13")
_COMMON_NAME: Final = bytes.fromhex("550403")
_CURVES: Final = {
    bytes.fromhex("2a8648ce3d030107"): 256,
    bytes.fromhex("2b81040022"): 384,
    bytes.fromhex("2b81040023"): 521,
    bytes.fromhex("2a8648ce3d030101"): 192,
    bytes.fromhex("2b81040021"): 224,
    bytes.fromhex("2b8104000a"): 256,
}
_ED: Final = {bytes.fromhex("2b6570"): "Ed25519", bytes.fromhex("2b6571"): "Ed448"}


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """`names` are DNS names and IP addresses, in lower case; times are seconds since the epoch."""

    subject: bytes
    issuer: bytes
    common_name: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    key: str  # RSA, EC, Ed25519 ...; "" when unknown
    key_bits: int  # 0 when unknown
    is_ca: bool
    serial: bytes = b""  # big-endian, without a leading zero
    alternative_names: bytes = b""  # subjectAltName in DER; b"" without one

    @property
    def is_self_signed(self) -> bool:
        return self.subject == self.issuer

    @property
    def is_weak(self) -> bool:
        """RSA below 2048 and curves below 224 bits: NIST SP 800-131A disallows them."""
        return (self.key == "RSA" and self.key_bits < 2048) or (self.key == "EC" and 0 < self.key_bits < 224)


def pem_blocks(text: bytes, kind: str = "CERTIFICATE") -> list[bytes]:
    """The DER of every block of this kind. ValueError when one is not base64."""
    found = []
    for match in _BLOCK.finditer(text):
        if match[1].decode() == kind:
            try:
                found.append(binascii.a2b_base64(match[2], strict_mode=False))
            except binascii.Error:
                raise ValueError(f"a {kind} block in it is not base64") from None
    return found


def parse_certificate(der: bytes) -> CertificateInfo:
    """ValueError when it is no certificate."""
    try:
        return _parse(der)
    except (ValueError, IndexError, StopIteration, UnicodeDecodeError, OverflowError) as error:
        raise ValueError("a certificate in it can't be read") from error


def _parse(der: bytes) -> CertificateInfo:
    [(tag, certificate)] = [next(items(der))]
    if tag != 0x30:
        raise ValueError("no sequence")
    tbs = list(items(next(items(certificate))[1]))
    if tbs[0][0] == 0xA0:  # version
        del tbs[0]
    (_, serial), _, (_, issuer), (_, validity), (_, subject), (_, key_info), *others = tbs
    not_before, not_after = (time_of(tag, value) for tag, value in items(validity))
    key, bits = _key(key_info)
    names: list[str] = []
    alternative_names = b""
    is_ca = False
    for tag, content in others:
        if tag == 0xA3:  # extensions
            for _, extension in items(next(items(content))[1]):
                parts = list(items(extension))
                oid, value = parts[0][1], parts[-1][1]
                if oid == _SAN:
                    names, alternative_names = list(_names(value)), value
                elif oid == _BASIC_CONSTRAINTS:
                    is_ca = any(tag == 1 and flag != b"\0" for tag, flag in items(next(items(value))[1]))
    return CertificateInfo(
        subject, issuer, _common_name(subject), tuple(names), not_before, not_after, key, bits, is_ca,
        serial.removeprefix(b"\0") or serial, alternative_names,
    )  # fmt: skip


def _names(value: bytes) -> Iterator[str]:
    for tag, name in items(first(value)):
        if tag == 0x82:
            yield name.decode("ascii").lower().removesuffix(".")
        elif tag == 0x87 and len(name) in (4, 16):
            yield str(ipaddress.ip_address(name))


def _common_name(subject: bytes) -> str:
    for _, group in items(subject):
        for _, attribute in items(group):
            (_, oid), (_, value) = items(attribute)
            if oid == _COMMON_NAME:
                return value.decode("utf-8", "replace")
    return ""


def _key(info: bytes) -> tuple[str, int]:
    (_, algorithm), (_, bits) = items(info)
    oids = list(items(algorithm))
    if oids[0][1] == _RSA:
        modulus = next(items(next(items(bits[1:]))[1]))[1]
        return "RSA", int.from_bytes(modulus, "big").bit_length()
    if oids[0][1] == _EC:
        return "EC", _CURVES.get(oids[1][1], 0)
    return _ED.get(oids[0][1], ""), 0
