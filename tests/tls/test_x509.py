"""Certificates say what openssl wrote into them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pem_files import authority, self_signed

from balance.tls.x509 import CertificateInfo, parse_certificate, pem_blocks


def info(text: bytes) -> CertificateInfo:
    return parse_certificate(pem_blocks(text)[0])


@pytest.mark.parametrize(
    ("kind", "key", "bits", "is_weak"),
    [("ec", "EC", 256, False), ("rsa", "RSA", 2048, False), ("weak", "RSA", 1024, True), ("ed25519", "Ed25519", 0, False)],
)
def test_the_kind_and_size_of_the_key(kind: str, key: str, bits: int, is_weak: bool) -> None:
    found = info(self_signed("a.example", kind=kind).cert.read_bytes())
    assert (found.key, found.key_bits, found.is_weak) == (key, bits, is_weak)


def test_names_dates_and_issuer() -> None:
    found = info(self_signed("A.example", "*.b.example", "IP:10.0.0.1", days=10).cert.read_bytes())
    assert found.names == ("a.example", "*.b.example", "10.0.0.1")
    assert found.common_name == "A.example"
    assert found.is_self_signed
    assert found.is_ca  # as openssl req -x509 makes them
    assert abs(found.not_after - found.not_before - 10 * 86400) < 5
    assert abs(found.not_before - time.time()) < 3600
    leaf = info(authority().issue("leaf", "c.example").cert.read_bytes())
    assert not leaf.is_self_signed
    assert not leaf.is_ca
    assert leaf.issuer == info(authority().cert.read_bytes()).subject


def test_times_of_both_kinds() -> None:
    assert info(self_signed("a.example", days=36500).cert.read_bytes()).not_after > 4e9  # GeneralizedTime from 2050 on


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x30\x80", b"\x30\x03abc", b"\x30\x84\xff\xff\xff\xff", b"\x04\x00"])
def test_what_is_no_certificate_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        parse_certificate(junk)


@given(st.data())
def test_a_broken_certificate_is_refused_or_read(data: st.DataObject) -> None:
    der = bytearray(pem_blocks(self_signed("a.example").cert.read_bytes())[0])
    for _ in range(3):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(der)))
    with contextlib.suppress(ValueError):
        parse_certificate(bytes(der[:end]))
