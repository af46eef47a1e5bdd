"""The lines that tell a backend who its client is."""

from __future__ import annotations

import hashlib

import pytest
from pem_files import authority

from balance.tls.client_identity import MAX_VALUE, NAMES, alternative_names, identity_lines, user_of
from balance.tls.x509 import pem_blocks

CA = authority()


def told(subject: str, *names: str, serial: int = 1) -> dict[str, str]:
    der = pem_blocks(CA.issue("x", *names, subject=subject, serial=serial).cert.read_bytes())[0]
    lines = identity_lines(der)
    assert lines.endswith(b"\r\n") and lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r")
    found = dict(line.split(": ", 1) for line in lines.decode("ascii").split("\r\n")[:-1])
    assert found["X-SSL-Client-Fingerprint"] == hashlib.sha256(der).hexdigest()
    return found


def test_a_certificate_is_told_in_full() -> None:
    found = told(
        "/O=Acme/CN=bob", "bob.example", "URI:spiffe://x.example/ns/a", "email:b@x.example", "IP:10.0.0.1", serial=0xAB12
    )
    assert tuple(found) == NAMES
    assert found["X-SSL-Client-Verify"] == "SUCCESS"
    assert (found["X-SSL-Client-DN"], found["X-SSL-Client-Issuer-DN"]) == ("CN=bob,O=Acme", "CN=Test CA")
    assert found["X-SSL-Client-SAN"] == "DNS:bob.example,URI:spiffe://x.example/ns/a,email:b@x.example,IP:10.0.0.1"
    assert found["X-SSL-Client-Serial"] == "AB12"


def test_logs_have_the_subject_else_the_fingerprint() -> None:
    def der(subject: str) -> bytes:
        return pem_blocks(CA.issue("x", subject=subject).cert.read_bytes())[0]

    assert user_of(der("/O=Acme/CN=bob")) == "CN=bob,O=Acme"
    long = der("/" + "/".join(f"OU={'x' * 60}{number}" for number in range(5)))
    assert user_of(long) == hashlib.sha256(long).hexdigest()
    assert user_of(b"junk") == hashlib.sha256(b"junk").hexdigest()


def test_none_is_told_as_none() -> None:
    assert identity_lines(None) == b"X-SSL-Client-Verify: NONE\r\n"


def test_what_can_t_be_read_here_is_told_by_its_fingerprint() -> None:
    assert identity_lines(b"junk").splitlines()[0] == b"X-SSL-Client-Verify: SUCCESS"
    assert identity_lines(b"junk").count(b"\r\n") == 2


def test_a_value_that_is_too_long_is_left_out_as_a_whole() -> None:
    """Cut off it might be another's."""
    found = told("/CN=bob", *(f"a{number}.example" for number in range(MAX_VALUE // 14)))
    assert "X-SSL-Client-SAN" not in found
    assert found["X-SSL-Client-DN"] == "CN=bob"


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (0x82, b"a.example,DNS:root.example", "DNS:a.example%2CDNS:root.example"),  # one name, not two
        (0x86, b"spiffe://a/b\r\nX: y", "URI:spiffe://a/b%0D%0AX:%20y"),
        (0x86, b"spiffe://a/%2e", "URI:spiffe://a/%252e"),
        (0x81, "ä@x".encode(), "email:%C3%A4@x"),
        (0x87, bytes(16), "IP:::"),
    ],
)
def test_one_name_can_t_be_two(tag: int, value: bytes, expected: str) -> None:
    sequence = bytes([tag, len(value)]) + value
    assert list(alternative_names(bytes([0x30, len(sequence)]) + sequence)) == [expected]


def test_other_kinds_of_names_are_not_told() -> None:
    assert list(alternative_names(bytes([0x30, 4, 0xA4, 2, 0x30, 0]))) == []
    assert list(alternative_names(b"")) == []
