"""What OpenSSL is given, and what is said when it does not take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pem_files import KINDS, openssl, read, self_signed

from balance.config.model import Config, ListenerConfig
from balance.model import Mode
from balance.tls.contexts import ListenerTls, TlsContexts, TlsError, names_of, policy_context, try_pair
from balance.tls.settings import Certificate, PemFile, ServerTls

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


def test_names_are_those_configured_else_the_certificates_own() -> None:
    assert names_of(A.certificate) == ("a.example",)
    assert names_of(replace(A.certificate, domains=("c.example",))) == ("c.example",)


def test_the_default_is_the_one_marked_else_the_first() -> None:
    tls = ServerTls(True, (A.certificate, B.certificate))
    made = ListenerTls(tls)
    assert made.find("other") is made.find("") is made.find("a.example") is made.default
    marked = ListenerTls(replace(tls, certificates=(A.certificate, replace(B.certificate, default=True))))
    assert marked.find("other") is marked.find("x.b.example")
    strict = ListenerTls(replace(tls, strict_sni=True))
    assert strict.find("other") is None
    assert strict.find("") is None


def test_what_stays_the_same_is_kept_over_a_reload() -> None:
    """The policy has the keys of session tickets."""

    def config(tls: ServerTls) -> Config:
        return Config((ListenerConfig("main", (), Mode.HTTP, "p", tls=tls), ListenerConfig("plain", (), Mode.HTTP, "p")), ())

    tls = ServerTls(True, (A.certificate, B.certificate))
    first = TlsContexts(config(tls)).by_listener
    assert list(first) == ["main"]
    before = TlsContexts(config(tls))
    assert TlsContexts(config(tls), before).by_listener["main"] is before.by_listener["main"]
    newer = self_signed("a.example", number=1)
    after = TlsContexts(config(replace(tls, certificates=(newer.certificate, B.certificate))), before).by_listener["main"]
    assert after.policy is before.by_listener["main"].policy
    assert after.find("x.b.example") is before.by_listener["main"].find("x.b.example")
    assert after.default is not before.by_listener["main"].default
    stricter = TlsContexts(config(replace(tls, min_version="1.3")), before).by_listener["main"]
    assert stricter.policy is not before.by_listener["main"].policy


def test_a_cipher_suite_that_nobody_knows_is_named() -> None:
    with pytest.raises(TlsError, match="OpenSSL knows none of NO-SUCH") as caught:
        policy_context(ServerTls(True, cipher_suites=("NO-SUCH",)))
    assert caught.value.key == "cipher_suites"
