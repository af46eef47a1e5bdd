"""What is said of a certificate to operators: names, dates, issuer, the key's kind and size (RFC 5280 section 4.1).

Trust is never decided here: OpenSSL does that. This reads the DER of certificates that the operator wrote into files.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

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


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) of each element. ValueError when one is cut off."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("length")
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        content = data[at : at + length]
        if len(content) != length:
            raise ValueError("cut off")
        yield tag, content
        at += length


def _parse(der: bytes) -> CertificateInfo:
    [(tag, certificate)] = [next(_items(der))]
    if tag != 0x30:
        raise ValueError("no sequence")
    tbs = list(_items(next(_items(certificate))[1]))
    if tbs[0][0] == 0xA0:  # version
        del tbs[0]
    _, _, (_, issuer), (_, validity), (_, subject), (_, key_info), *others = tbs
    not_before, not_after = (_time(tag, value) for tag, value in _items(validity))
    key, bits = _key(key_info)
    names: list[str] = []
    is_ca = False
    for tag, content in others:
        if tag == 0xA3:  # extensions
            for _, extension in _items(next(_items(content))[1]):
                parts = list(_items(extension))
                oid, value = parts[0][1], parts[-1][1]
                if oid == _SAN:
                    names = list(_names(value))
                elif oid == _BASIC_CONSTRAINTS:
                    is_ca = any(tag == 1 and flag != b"\0" for tag, flag in _items(next(_items(value))[1]))
    return CertificateInfo(subject, issuer, _common_name(subject), tuple(names), not_before, not_after, key, bits, is_ca)


def _names(value: bytes) -> Iterator[str]:
    for tag, name in _items(next(_items(value))[1]):
        if tag == 0x82:
            yield name.decode("ascii").lower().removesuffix(".")
        elif tag == 0x87 and len(name) in (4, 16):
            yield str(ipaddress.ip_address(name))


def _common_name(subject: bytes) -> str:
    for _, group in _items(subject):
        for _, attribute in _items(group):
            (_, oid), (_, value) = _items(attribute)
            if oid == _COMMON_NAME:
                return value.decode("utf-8", "replace")
    return ""


def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == 0x17:  # UTCTime: RFC 5280 section 4.1.2.5.1
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _key(info: bytes) -> tuple[str, int]:
    (_, algorithm), (_, bits) = _items(info)
    oids = list(_items(algorithm))
    if oids[0][1] == _RSA:
        modulus = next(_items(next(_items(bits[1:]))[1]))[1]
        return "RSA", int.from_bytes(modulus, "big").bit_length()
    if oids[0][1] == _EC:
        return "EC", _CURVES.get(oids[1][1], 0)
    return _ED.get(oids[0][1], ""), 0
