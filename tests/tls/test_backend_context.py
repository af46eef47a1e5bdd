"""Contexts of connections to backends: who shares one, what is wrong with a file, what is remembered."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
from pem_files import authority, openssl, read, self_signed

from balance.config.model import BackendConfig, Config, PoolConfig
from balance.model import Address
from balance.tls.backend_context import BackendContexts, UpstreamTls, backend_context, server_name
from balance.tls.pem_loading import TlsError
from balance.tls.settings import BackendTls, PemFile

CA = authority()
PAIR = self_signed("balance")
PLAIN = BackendTls()
OURS = BackendTls(True, ca_file=read(CA.cert))
SHOWN = BackendTls(True, ca_file=read(CA.cert), client_cert_file=read(PAIR.cert), client_key_file=read(PAIR.key))


def config(*pools: PoolConfig) -> Config:
    return Config((), pools)


def pool(tls: BackendTls, *backends: BackendConfig) -> PoolConfig:
    return PoolConfig("p", backends or (BackendConfig("b", Address("app", 1)),), tls=tls)


def test_backends_are_verified_with_tls_from_1_2() -> None:
    context = backend_context(OURS, ("http/1.1",))
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.hostname_checks_common_name
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "Test CA"),),)]
    unverified = backend_context(replace(OURS, verify=False))
    assert (unverified.check_hostname, unverified.verify_mode) == (False, ssl.CERT_NONE)


def test_the_password_of_our_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    key = PAIR.key.with_suffix(".encrypted")
    openssl("pkey", "-in", PAIR.key, "-aes256", "-passout", "pass:right", "-out", key)
    tls = replace(SHOWN, client_key_file=read(key), client_key_password_env="TLS_PASSWORD")
    monkeypatch.setenv("TLS_PASSWORD", "right")
    backend_context(tls)
    monkeypatch.setenv("TLS_PASSWORD", "wrong")
    with pytest.raises(TlsError, match="can't be read with the password in TLS_PASSWORD") as caught:
        backend_context(tls)
    assert caught.value.key == "client_key_password_env"


@pytest.mark.parametrize(
    ("tls", "key", "message"),
    [
        (replace(OURS, ca_file=PemFile("ca", b"")), "ca_file", "'ca' has no certificate in PEM format"),
        (replace(OURS, ca_file=PemFile("ca", b"junk")), "ca_file", "'ca' has no certificate in PEM format"),
        (replace(SHOWN, client_key_file=read(CA.key)), "client_key_file", "is not the key of the certificate"),
        (replace(SHOWN, client_key_file=PemFile("k", b"junk")), "client_key_file", "'k' has no private key in PEM format"),
        (replace(SHOWN, client_cert_file=PemFile("c", b"junk")), "client_cert_file", "'c' has no certificate in PEM format"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tls: BackendTls, key: str, message: str) -> None:
    with pytest.raises(TlsError) as caught:
        backend_context(tls)
    assert caught.value.key == key
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "host", "name"),
    [
        ("", "app.internal", "app.internal"),
        ("", "app.internal.", "app.internal"),
        ("", "10.0.0.1", "10.0.0.1"),
        ("", "fe80::1%eth0", "fe80::1"),
        ("other.internal", "app.internal", "other.internal"),
    ],
)
def test_the_name_is_the_one_configured_else_the_host(given: str, host: str, name: str) -> None:
    assert server_name(replace(OURS, server_name=given), Address(host, 443)) == name


def test_one_context_for_each_identity_made_once() -> None:
    first = BackendContexts(config(pool(OURS), pool(SHOWN), pool(OURS), pool(PLAIN)))
    one, other, same = (first.of(pool(tls), BackendConfig("b", Address("app", 1))) for tls in (OURS, SHOWN, OURS))
    assert one is not None
    assert other is not None
    assert same is not None
    assert one.context is same.context
    assert one.context is not other.context
    assert one is not same  # each backend has sessions of its own
    second = BackendContexts(config(pool(OURS)), first)
    again = second.of(pool(OURS), BackendConfig("b", Address("app", 1)), one)
    assert again is one
    moved = second.of(pool(OURS), BackendConfig("b", Address("app-2", 1)), one)
    assert moved is not None
    assert moved is not one
    assert moved.context is one.context


@pytest.mark.parametrize(
    ("tls", "scheme", "has_tls"),
    [(PLAIN, "", False), (PLAIN, "http", False), (PLAIN, "https", True), (OURS, "", True), (OURS, "https", True)],
)
def test_pools_and_addresses_say_who_has_tls(tls: BackendTls, scheme: str, has_tls: bool) -> None:
    backend = BackendConfig("b", Address("app", 1), scheme=scheme)
    made = BackendContexts(config(pool(tls, backend))).of(pool(tls, backend), backend)
    assert isinstance(made, UpstreamTls) == has_tls
