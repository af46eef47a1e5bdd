"""Who may enter: whose certificates OpenSSL takes, by files that were checked first."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from handshakes import client_with, shake
from pem_files import Authority, Pair, another_authority, authority, read, self_signed

from balance.tls.client_hello import ClientHello
from balance.tls.contexts import ListenerTls
from balance.tls.pem_loading import TlsError
from balance.tls.policy import load_client_trust, policy_context, server_context
from balance.tls.settings import PemFile, ServerTls

SERVER = self_signed("a.example")
CA, OTHER = authority(), authority("Other CA")
INTERMEDIATE = CA.issue("Below", is_ca=True, serial=7)
BELOW = Authority(INTERMEDIATE.cert, INTERMEDIATE.key)
BOB = CA.issue("bob", serial=2)
GONE = CA.issue("gone", days=-1)
SERVER_ONLY = CA.issue("web", extra="extendedKeyUsage=serverAuth")
CAROL = BELOW.issue("carol", serial=3)
NEW, OLD = ClientHello("", offers_tls13=True), ClientHello("")


def joined(*files: Path) -> PemFile:
    return PemFile("/x/joined.pem", b"".join([file.read_bytes() for file in files]))


def settings(client_auth: str = "require-and-verify", **others: object) -> ServerTls:
    base = ServerTls(True, (SERVER.certificate,), client_auth=client_auth, client_ca_file=read(CA.cert))
    return replace(base, **others)  # type: ignore[arg-type]


def entered(tls: ServerTls, client: ssl.SSLContext, hello: ClientHello = NEW) -> bytes | None:
    """The client's certificate as the server has it, of a connection made as listeners make theirs. SSLError: refused."""
    made = ListenerTls(tls)
    return shake(made.policy_for(hello), made.default, client).server.getpeercert(binary_form=True)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_of_the_authority_enters_and_none_does_only_where_it_may(version: str) -> None:
    hello = NEW if version == "1.3" else OLD
    bob = client_with(BOB, version)
    for client_auth in ("verify", "require-and-verify"):
        assert entered(settings(client_auth), bob, hello) == ssl.PEM_cert_to_DER_cert(BOB.cert.read_text())
    assert entered(settings("verify"), client_with(None, version), hello) is None
    assert entered(settings("none"), bob, hello) is None
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        entered(settings(), client_with(None, version), hello)


@pytest.mark.parametrize(
    ("pair", "code"),
    [(OTHER.issue("bob"), 20), (self_signed("bob"), 18), (GONE, 10), (SERVER_ONLY, 26), (CAROL, 20)],
    ids=["another authority", "its own", "expired", "for servers", "without its intermediate"],
)
@pytest.mark.parametrize("client_auth", ["verify", "require-and-verify"])
def test_who_has_another_certificate_is_refused_also_where_none_would_do(pair: Pair, code: int, client_auth: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        entered(settings(client_auth), client_with(pair))
    assert caught.value.verify_code == code


def test_a_chain_counts_up_to_the_root() -> None:
    assert entered(settings(), client_with(CAROL, chain=INTERMEDIATE.cert))
    assert entered(settings(client_ca_file=joined(CA.cert, INTERMEDIATE.cert)), client_with(CAROL))


@pytest.mark.parametrize(
    ("pair", "crl", "code"),
    [
        (BOB, CA.revoking(2), 23),
        (BOB, CA.revoking(5), None),
        (BOB, CA.revoking(hours=-1), 12),
        (CAROL, joined(CA.revoking(), BELOW.revoking(3)), 23),
        (CAROL, joined(CA.revoking(7), BELOW.revoking()), 23),  # the intermediate is
        (CAROL, joined(CA.revoking(), BELOW.revoking()), None),
        (CAROL, CA.revoking(), 3),  # nobody knows of those below the intermediate
    ],
    ids=["revoked", "another is", "ended", "below", "its issuer is", "nobody is", "a list is missing"],
)
def test_who_is_revoked_is_refused(pair: Pair, crl: Path | PemFile, code: int | None) -> None:
    tls = settings(client_crl_file=crl if isinstance(crl, PemFile) else read(crl))
    client = client_with(pair, chain=INTERMEDIATE.cert if pair is CAROL else None)
    if code is None:
        assert entered(tls, client)
        return
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        entered(tls, client)
    assert caught.value.verify_code == code


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_is_never_resumed_where_certificates_count(version: str) -> None:
    """OpenSSL keeps sessions of TLS 1.2 by their id, tickets or not: a resumed one would pass any list unseen."""
    made, hello, client = ListenerTls(settings()), NEW if version == "1.3" else OLD, client_with(BOB, version)
    first = shake(made.policy_for(hello), made.default, client)
    again = shake(made.policy_for(hello), made.default, client, first.client.session)
    assert not again.server.session_reused
    assert again.server.getpeercert(binary_form=True)
    if version == "1.2":  # it would be, of the context that all others share
        first = shake(made.policy, made.default, client)
        assert shake(made.policy, made.default, client, first.client.session).server.session_reused
        assert ListenerTls(settings(max_version="1.2")).policy_for(NEW) is not made.policy


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_from_before_certificates_counted_is_not_resumed(version: str) -> None:
    """Nor one of another listener: Botan and others let such clients in."""
    before, hello = ListenerTls(settings("none")), NEW if version == "1.3" else OLD
    client = client_with(None, version)
    first = shake(before.policy_for(hello), before.default, client)
    assert shake(before.policy_for(hello), before.default, client, first.client.session).server.session_reused
    now = ListenerTls(settings(), before)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(now.policy_for(hello), now.default, client, first.client.session)


@pytest.mark.long
def test_authorities_of_one_name_are_told_apart_by_their_keys() -> None:
    """As while an authority has a new key: each has a list, which says of which key it is."""
    newer, key = another_authority("Test CA"), "authorityKeyIdentifier=keyid:always"
    tls = settings(client_ca_file=joined(CA.cert, newer.cert))
    lists = joined(CA.revoking(2, extensions=key), newer.revoking(extensions=key))
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        entered(replace(tls, client_crl_file=lists), client_with(BOB))
    assert entered(replace(tls, client_crl_file=lists), client_with(newer.issue("dan", serial=2)))


def test_authorities_are_loaded_where_they_count_and_nobody_elses_are() -> None:
    """A trust store costs memory for each certificate; the system's own never counts."""
    for tls, count in ((settings("none"), 0), (settings(), 1)):
        made = ListenerTls(tls)
        assert [each.cert_store_stats()["x509"] for each in (made.policy, made.default)] == [0, count]


def test_one_context_does_all_for_a_server_with_one_certificate() -> None:
    context = server_context(settings(client_crl_file=read(CA.revoking(5))))
    assert shake(context, None, client_with(BOB)).server.getpeercert(binary_form=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, None, client_with(CAROL))


EMPTY = PemFile("/x/empty.pem", b"")
JUNK = PemFile("/x/junk.pem", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")


@pytest.mark.parametrize(
    ("changed", "key", "message"),
    [
        ({"client_ca_file": PemFile()}, "client_ca_file", "is missing; client_auth: require-and-verify needs"),
        ({"client_ca_file": EMPTY}, "client_ca_file", "has no certificate in PEM format"),
        ({"client_ca_file": read(INTERMEDIATE.cert)}, "client_ca_file", "has no root"),
        ({"client_crl_file": EMPTY}, "client_crl_file", "has no revocation list in PEM format"),
        ({"client_crl_file": read(CA.cert)}, "client_crl_file", "has no revocation list in PEM format"),
        ({"client_crl_file": JUNK}, "client_crl_file", "can't be read"),
        (
            {"client_crl_file": joined(CA.revoking(2), CA.revoking(3))},
            "client_crl_file",
            "two lists of 'CN=Test CA', of which only",
        ),
        (
            {"client_crl_file": joined(CA.revoking(), CA.revoking(2, extensions="deltaCRL=critical,ASN1:INTEGER:1"))},
            "client_crl_file",
            r"the list of 'CN=Test CA' has only what has changed \(a delta\)",
        ),
        ({"client_crl_file": read(OTHER.revoking())}, "client_crl_file", "has no list of 'CN=Test CA', which is in"),
    ],
)
def test_files_that_would_let_in_nobody_are_refused_with_a_reason(changed: dict[str, object], key: str, message: str) -> None:
    with pytest.raises(TlsError, match=message) as caught:
        load_client_trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings(**changed))
    assert caught.value.key == key


def test_a_list_that_changes_makes_new_contexts_and_the_rest_stays() -> None:
    first = ListenerTls(settings(client_crl_file=read(CA.revoking(5))))
    same = ListenerTls(first.settings, first)
    assert (same.policy, same.default) == (first.policy, first.default)
    newer = ListenerTls(settings(client_crl_file=read(CA.revoking(2))), first)
    assert newer.policy is not first.policy
    assert newer.default is not first.default
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(newer.policy, newer.default, client_with(BOB))


def test_a_cipher_suite_that_nobody_knows_is_named() -> None:
    with pytest.raises(TlsError, match="OpenSSL knows none of NO-SUCH") as caught:
        policy_context(ServerTls(True, cipher_suites=("NO-SUCH",)))
    assert caught.value.key == "cipher_suites"
