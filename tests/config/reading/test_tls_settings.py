"""What the keys of `tls` become, where they stand, and what is said of what can't be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pem_files import authority, read, self_signed

from balance.config import load_text
from balance.config.loading import load_with_changes
from balance.config.overrides.difference import difference
from balance.config.overrides.redacted import redacted
from balance.errors import ConfigError
from balance.tls.settings import Served, ServerTls

A = self_signed("a.example")
B = self_signed("*.b.example", days=20)
PAIR = {"cert_file": str(A.cert), "key_file": str(A.key)}
CA = authority()
NOBODY = CA.revoking()
OTHERS = authority("Other CA").revoking()
MUTUAL = {"client_auth": "require-and-verify", "client_ca_file": str(CA.cert)}
BASE = {"listen": ":8443", "backends": [{"address": "127.0.0.1:9001"}]}


def loaded(tls: object, **more: object) -> ServerTls:
    (listener,) = load_text(yaml.safe_dump({**BASE, **more, "tls": tls}), "x.yaml", {}).config.listeners
    return listener.tls


def problems(tls: object, **more: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tls, **more)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_the_short_form_is_one_certificate() -> None:
    tls = loaded(PAIR)
    assert tls == ServerTls(True, (A.certificate,), alpn_protocols=("h2", "http/1.1"))
    assert loaded(PAIR, mode="tcp").alpn_protocols == ()
    assert not loaded({**PAIR, "enabled": False}).enabled


def test_every_key_arrives() -> None:
    tls = loaded(
        {
            "certificates": [{**PAIR, "domains": ["A.example.", "*.a.example"], "default": True, "key_password_env": "P"}],
            "min_version": "1.3",
            "max_version": "1.3",
            "cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"],
            "session_tickets": False,
            "strict_sni": True,
            "handshake_timeout": "3s",
            "client_auth": "REQUIRE_AND_VERIFY",
            "client_ca_file": str(CA.cert),
            "client_crl_file": str(NOBODY),
        }
    )
    (certificate,) = tls.certificates
    assert (certificate.domains, certificate.default, certificate.key_password_env) == (("a.example", "*.a.example"), True, "P")
    assert (tls.min_version, tls.max_version, tls.cipher_suites) == ("1.3", "1.3", ("ECDHE-RSA-AES128-GCM-SHA256",))
    assert (tls.client_auth, tls.client_ca_file, tls.client_crl_file) == ("require-and-verify", read(CA.cert), read(NOBODY))
    assert (tls.session_tickets, tls.strict_sni, tls.handshake_timeout_s) == (False, True, 3.0)


def test_a_listeners_keys_win_over_those_at_the_top() -> None:
    text = {
        "tls": {**PAIR, "min_version": "1.3"},
        "listeners": [
            {"name": "one", "listen": ":8443"},
            {"name": "two", "listen": ":8444", "tls": {"min_version": "1.2"}},
            {"name": "plain", "listen": ":8080", "tls": {"enabled": False}},
        ],
        "pools": {"p": {"backends": BASE["backends"]}},
    }
    one, two, plain = load_text(yaml.safe_dump(text), "x.yaml", {}).config.listeners
    assert (one.tls.enabled, one.tls.min_version) == (True, "1.3")
    assert (two.tls.min_version, two.tls.certificates) == ("1.2", one.tls.certificates)
    assert not plain.tls.enabled


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ({"enabled": True}, "tls.enabled: is enabled without a certificate"),
        ({"cert_file": str(A.cert)}, "tls.key_file: is missing"),
        ({**PAIR, "key_file": str(B.key)}, "tls.key_file: .* is not the key of the certificate"),
        ({**PAIR, "cert_file": "/nowhere/x.crt"}, "tls.cert_file: '/nowhere/x.crt' can't be read: No such file"),
        ({"certificates": [PAIR, {**PAIR, "key_file": str(B.key)}]}, r"tls.certificates\[1\].key_file: .* is not the key of"),
        ({"certificates": [{"cert_file": "x"}]}, r"tls.certificates\[0\]: 'key_file' is missing"),
        ({**PAIR, "min_version": "1.3", "max_version": "1.2"}, "tls.min_version: 1.3 is above max_version"),
        ({**PAIR, "min_version": "1.1"}, "tls.min_version: '1.1' is not a version"),
        ({**PAIR, "cipher_suites": ["TLS_AES_128_GCM_SHA256"]}, "tls.cipher_suites: 'TLS_AES_128_GCM_SHA256' is a suite of"),
        ({**PAIR, "cipher_suites": ["NO-SUCH"]}, "tls.cipher_suites: OpenSSL knows none of NO-SUCH"),
        ({**PAIR, "alpn_protocols": ["h3"]}, "tls.alpn_protocols: 'h3' is not available in this version"),
        ({"certificates": [{**PAIR, "default": True}] * 2}, "tls.certificates: has several with default: true"),
        ({**PAIR, "redirect_http": True}, "tls.redirect_http: does nothing: no listener speaks plain HTTP"),
        ({"redirect_http": 0}, "tls.redirect_http: expected true, false or a port in 1..65535, got 0"),
        ({**PAIR, "client_auth": "maybe"}, "tls.client_auth: 'maybe' is not one of none, verify, require-and-verify"),
        ({**PAIR, "client_auth": "verify"}, "tls.client_ca_file: is missing; client_auth: verify needs to know whose"),
        ({**PAIR, "client_ca_file": str(CA.cert)}, "tls.client_ca_file: does nothing without client_auth"),
        ({**PAIR, "client_auth": "verify", "client_ca_file": "/nowhere"}, "tls.client_ca_file: '/nowhere' can't be read"),
        ({**PAIR, "client_auth": "verify", "client_ca_file": str(A.key)}, "tls.client_ca_file: .* has no certificate in PEM"),
        ({**PAIR, **MUTUAL, "client_crl_file": "/nowhere"}, "tls.client_crl_file: '/nowhere' can't be read: No such file"),
        ({**PAIR, **MUTUAL, "client_crl_file": str(CA.cert)}, "tls.client_crl_file: .* has no revocation list in PEM format"),
        ({**PAIR, **MUTUAL, "client_crl_file": str(OTHERS)}, "tls.client_crl_file: .* has no list of 'CN=Test CA'"),
        ({**PAIR, "domains": ["a"]}, "tls.domains: unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_no_start(tls: object, problem: str) -> None:
    assert any(re.match(problem, found) for found in problems(tls)), problems(tls)


def test_h2_may_pass_in_tcp_mode() -> None:
    assert loaded({**PAIR, "alpn_protocols": ["h2"]}, mode="tcp").alpn_protocols == ("h2",)


def test_no_key_is_shown_and_a_changed_file_is_a_difference() -> None:
    text = yaml.safe_dump({**BASE, "tls": PAIR})
    old = load_text(text, "x.yaml", {}).config
    shown = str(redacted(old)) + repr(old)
    assert "PRIVATE" not in shown
    assert str(A.key) in shown
    before = A.cert.read_bytes()
    newer = self_signed("a.example", number=3)
    keep = A.key.read_bytes()
    try:
        A.cert.write_bytes(newer.cert.read_bytes())
        A.key.write_bytes(newer.key.read_bytes())
        new = load_text(text, "x.yaml", {}).config
        assert difference(old, new) == ("~ tls of listener main: certificates changed",)
    finally:
        A.cert.write_bytes(before)
        A.key.write_bytes(keep)


def test_a_pair_that_cannot_be_used_now_is_kept_as_it_is_served(tmp_path: Path) -> None:
    pairs = [self_signed("a.example", number=4), self_signed("b.example", number=4)]
    files = []
    for name, pair in zip("ab", pairs, strict=True):
        for kind in ("cert", "key"):
            (tmp_path / f"{name}.{kind}").write_bytes(getattr(pair, kind).read_bytes())
        files.append({"cert_file": f"{name}.cert", "key_file": f"{name}.key"})
    text, file = yaml.safe_dump({**BASE, "tls": {"certificates": files}}), str(tmp_path / "x.yaml")
    old = load_text(text, file, {}).config.listeners[0].tls
    known = Served(old.certificates)
    newer = self_signed("b.example", number=5)
    (tmp_path / "a.cert").write_bytes(newer.cert.read_bytes()[:100])  # half written
    (tmp_path / "b.cert").write_bytes(newer.cert.read_bytes())
    (tmp_path / "b.key").write_bytes(newer.key.read_bytes())
    found = load_with_changes(text, file, {}, (), known).loaded
    a, b = found.config.listeners[0].tls.certificates
    assert a == old.certificates[0]
    assert b.cert_file.text == newer.cert.read_bytes()
    (kept,) = [warning for warning in found.warnings if "served on" in warning.message]
    assert kept.path == "tls.certificates[0].cert_file"
    (tmp_path / "a.key").unlink()
    again = load_with_changes(text, file, {}, (), known).loaded
    assert again.config.listeners[0].tls.certificates[0] == old.certificates[0]
    with pytest.raises(ConfigError):
        load_text(text, file, {})


def warnings(pair: dict[str, object]) -> list[str]:
    text = yaml.safe_dump({**BASE, "tls": {"certificates": [pair]}})
    return [warning.message for warning in load_text(text, "x.yaml", {}).warnings if warning.path.startswith("tls")]


def test_what_works_and_will_be_regretted() -> None:
    assert warnings(PAIR) == []
    (soon,) = warnings({"cert_file": str(B.cert), "key_file": str(B.key)})
    assert "expires on" in soon
    (other,) = warnings({**PAIR, "domains": ["c.example"]})
    assert "is not for c.example, but for a.example: clients refuse it" in other
    weak = self_signed("w.example", kind="weak")
    assert any("1024 bits (RSA), which is weak" in message for message in _or_refused(weak.cert, weak.key))
    alone = authority().issue("leaf", "leaf.example")
    (chain,) = warnings({"cert_file": str(alone.cert), "key_file": str(alone.key)})
    assert "without the intermediate that issued it" in chain


def _or_refused(cert: Path, key: Path) -> list[str]:
    """OpenSSL refuses weak keys at its usual security level: then that is said."""
    try:
        return warnings({"cert_file": str(cert), "key_file": str(key)})
    except ConfigError as error:
        assert "key too small" in str(error)
        return ["1024 bits (RSA), which is weak"]


FULL = {
    "listeners": [{"listen": ":8443", "mode": "tcp", "tls": {"sni": {"routes": {"A.example.": "a", "*.b.example": "b"}}}}],
    "pools": {name: {"backends": [{"address": "127.0.0.1:9001"}], "timeouts": {"connect": "7s"}} for name in "ab"},
}


def test_names_lead_to_pools_where_tls_passes_through() -> None:
    (listener,) = load_text(yaml.safe_dump({**FULL, "tls": PAIR}), "x.yaml", {}).config.listeners
    routes = {(route.name, route.pool, route.timeouts.connect_s) for route in listener.sni_routes}
    assert routes == {("a.example", "a", 7.0), ("*.b.example", "b", 7.0)}
    assert not listener.tls.enabled
    assert set(listener.pools) == {"a", "b"}
    assert listener.pool == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"mode": "http"}, "passes TLS through unread, and mode http reads requests"),
        ({"tls": {**PAIR, "sni": {"routes": {"a": "a"}}}}, "stands beside certificates"),
        ({"tls": {"sni": {"routes": {"a": "c"}}}}, "'c' is not defined"),
        ({"tls": {"sni": {"routes": {"*": "a"}}}}, "is not a host name"),
    ],
)
def test_what_cannot_pass_through(change: dict[str, object], problem: str) -> None:
    listener = {**FULL["listeners"][0], **change}  # type: ignore[index]
    with pytest.raises(ConfigError, match=problem):
        load_text(yaml.safe_dump({**FULL, "listeners": [listener]}), "x.yaml", {})


@pytest.mark.parametrize("content", [None, b"", b"<html>502</html>", CA.cert.read_bytes()[:150]])
def test_authorities_that_cannot_be_read_now_refuse_the_whole_reload(tmp_path: Path, content: bytes | None) -> None:
    """Others are never taken in their place, the system's least of all."""
    file = tmp_path / "ca.crt"
    file.write_bytes(CA.cert.read_bytes())
    text = yaml.safe_dump({**BASE, "tls": {**PAIR, **MUTUAL, "client_ca_file": "ca.crt"}})
    old = load_text(text, str(tmp_path / "x.yaml"), {}).config.listeners[0].tls
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"tls.client_ca_file: .*ca.crt"):
        load_with_changes(text, str(tmp_path / "x.yaml"), {}, (), Served(old.certificates))


@pytest.mark.parametrize("content", [None, b"", b"<html>502</html>", NOBODY.read_bytes()[:150]])
def test_a_list_that_cannot_be_read_now_is_kept_as_it_counts(tmp_path: Path, content: bytes | None) -> None:
    """What a script fetches may be half of it, or a page of errors; the rest of the file changes."""
    crl = tmp_path / "clients.crl"
    crl.write_bytes(NOBODY.read_bytes())
    keys = {**PAIR, **MUTUAL, "client_crl_file": "clients.crl"}
    text, file = yaml.safe_dump({**BASE, "tls": keys}), str(tmp_path / "x.yaml")
    old = load_text(text, file, {}).config.listeners[0].tls
    crl.unlink() if content is None else crl.write_bytes(content)
    served = Served(old.certificates, (old.client_crl_file,))
    newer = yaml.safe_dump({**BASE, "tls": {**keys, "strict_sni": True}})
    found = load_with_changes(newer, file, {}, (), served).loaded
    tls = found.config.listeners[0].tls
    assert (tls.client_crl_file, tls.strict_sni) == (old.client_crl_file, True)
    (kept,) = [str(each) for each in found.warnings if "clients.crl" in str(each)]
    assert kept.endswith("; the revocation list of before counts on")
    with pytest.raises(ConfigError):
        load_text(newer, file, {})  # at a start there is none to keep
