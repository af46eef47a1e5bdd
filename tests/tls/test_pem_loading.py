"""What OpenSSL is given, and what is said when it does not take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pem_files import KINDS, openssl, read, self_signed

from balance.tls.pem_loading import TlsError, try_pair
from balance.tls.settings import Certificate, PemFile

A = self_signed("a.example")
B = self_signed("*.b.example")
EMPTY = PemFile("/x/empty.pem", b"")
JUNK = PemFile("/x/junk.pem", b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n")


def encrypted(tmp_path: Path) -> Certificate:
    key, cert = tmp_path / "tls.key", tmp_path / "tls.crt"
    openssl("req", "-x509", "-newkey", *KINDS["ec"], "-passout", "pass:s3cret", "-keyout", key, "-out", cert, "-subj", "/CN=a")
    return Certificate(read(cert), read(key))


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        (replace(A.certificate, key_file=B.certificate.key_file), "key_file", "is not the key of the certificate"),
        (replace(A.certificate, key_file=self_signed("r", kind="rsa").certificate.key_file), "key_file", "is not the key of"),
        (replace(A.certificate, key_file=EMPTY), "key_file", "has no private key in PEM format"),
        (replace(A.certificate, cert_file=EMPTY), "cert_file", "has no certificate in PEM format"),
        (replace(A.certificate, cert_file=JUNK), "cert_file", "can't be used"),
    ],
)
def test_a_pair_that_does_not_fit_says_what_is_wrong(certificate: Certificate, key: str, message: str) -> None:
    with pytest.raises(TlsError, match=message) as caught:
        try_pair(certificate)
    assert caught.value.key == key
    assert "PRIVATE" not in str(caught.value)


def test_the_password_of_a_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And OpenSSL never asks on the terminal."""
    certificate = encrypted(tmp_path)
    with pytest.raises(TlsError, match="is encrypted with a password; write key_password_env"):
        try_pair(certificate)
    named = replace(certificate, key_password_env="TLS_TEST_PASSWORD")
    with pytest.raises(TlsError, match="the environment has no TLS_TEST_PASSWORD"):
        try_pair(named)
    monkeypatch.setenv("TLS_TEST_PASSWORD", "wrong")
    with pytest.raises(TlsError, match="can't be read with the password in TLS_TEST_PASSWORD"):
        try_pair(named)
    monkeypatch.setenv("TLS_TEST_PASSWORD", "s3cret")
    try_pair(named)
