"""Names as text are as openssl says them (RFC 2253), and nothing that a certificate says breaks out of the text."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pem_files import authority

from balance.tls.distinguished_name import name_text, same_name
from balance.tls.x509 import parse_certificate, pem_blocks


def tlv(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + (bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")) + content


def name(*attributes: tuple[str, int, bytes]) -> bytes:
    kinds = {"CN": b"\x55\x04\x03", "O": b"\x55\x04\x0a", "C": b"\x55\x04\x06", "1.2.3.4": b"\x2a\x03\x04"}
    return b"".join(tlv(0x31, tlv(0x30, tlv(6, kinds[kind]) + tlv(tag, value))) for kind, tag, value in attributes)


LONG = pytest.mark.long
SUBJECTS = ["/CN=bob", "/O=A+CN=B", "/CN=Jörg Müller", "/CN= # x ", "/DC=org/UID=u1/CN=x"]


@pytest.mark.parametrize(
    "subject", ['/C=DE/O=Acme, Inc.+CN=Jörg "B" <b>', *(pytest.param(each, marks=LONG) for each in SUBJECTS)]
)
def test_a_subject_is_as_openssl_says_it(subject: str) -> None:
    pair = authority().issue("x", subject=subject)
    command = ["openssl", "x509", "-in", str(pair.cert), "-noout", "-subject", "-nameopt", "RFC2253"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    info = parse_certificate(pem_blocks(pair.cert.read_bytes())[0])
    assert name_text(info.subject) == said.strip("\n").removeprefix("subject=")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((0x0C, b"bob\r\nX-Admin: 1"), "CN=bob\\0D\\0AX-Admin: 1"),
        ((0x0C, b"a\0b"), "CN=a\\00b"),
        ((0x0C, b"a,CN=root"), "CN=a\\,CN\\=root".replace("\\=", "=")),
        ((0x0C, b'"\\'), 'CN=\\"\\\\'),
        ((0x1E, "Zoë".encode("utf-16-be")), "CN=Zo\\C3\\AB"),
        ((0x14, b"Zo\xeb"), "CN=Zo\\C3\\AB"),
        ((0x0C, b"\xff"), "CN=#0c01ff"),
        ((0x05, b""), "CN=#0500"),
        ((0x04, bytes(200)), "CN=#048200c8" + "00" * 200),
    ],
)
def test_what_a_name_holds_stays_in_it(value: tuple[int, bytes], expected: str) -> None:
    assert name_text(name(("CN", *value))) == expected


def test_a_type_without_a_name_has_its_number() -> None:
    assert name_text(name(("C", 0x13, b"DE"), ("1.2.3.4", 0x0C, b"x"))) == "1.2.3.4=x,C=DE"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["CN", "O"]), st.integers(1, 30), st.binary(max_size=20)), max_size=4))
def test_a_text_is_one_line_of_printable_ascii(attributes: list[tuple[str, int, bytes]]) -> None:
    text = name_text(name(*attributes))
    assert text.isascii() and (text.isprintable() or not text)


@settings(max_examples=40)
@given(st.binary(max_size=60))
def test_junk_is_refused_with_the_errors_that_are_said(data: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError):
        name_text(data)


def test_names_are_the_same_whatever_their_encoding_case_and_spaces() -> None:
    one = name(("O", 0x13, b"Acme  Inc"), ("CN", 0x13, b"CA"))
    assert same_name(one, name(("O", 0x0C, b"acme inc"), ("CN", 0x1E, "CA".encode("utf-16-be"))))
    assert not same_name(one, name(("CN", 0x13, b"CA"), ("O", 0x13, b"Acme Inc")))
    assert not same_name(one, b"junk")
