"""What the keys of TLS to backends become, where they stand, and what is said of what can't be."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from pem_files import authority, read, self_signed

from balance.config import Loaded, load_text
from balance.config.loading import load_with_changes
from balance.config.overrides.difference import difference
from balance.config.overrides.redacted import redacted
from balance.errors import ConfigError
from balance.tls.settings import BackendTls, Served

CA = authority()
PAIR = self_signed("balance")
CA_FILE = {"ca_file": str(CA.cert)}
CLIENT = {"client_cert_file": str(PAIR.cert), "client_key_file": str(PAIR.key)}


FOUND = {"pools": {"p": {"discovery": {"dns": {"name": "app.test", "port": 80}}}}}


def text(tls: object = None, top: object = None, address: str = "127.0.0.1:9001", **more: object) -> str:
    more = copy.deepcopy(more)
    data: dict[str, Any] = {"listeners": [{"listen": ":8080"}], "pools": {"p": {"backends": [{"address": address}]}}, **more}
    if tls is not None:
        data["pools"]["p"]["tls"] = tls
    if top is not None:
        data["tls"] = {"backend": top}
    return yaml.safe_dump(data)


def loaded(*arguments: Any, **more: Any) -> Loaded:
    return load_text(text(*arguments, **more), "x.yaml", {})


def settings(*arguments: Any, **more: Any) -> BackendTls:
    (pool,) = loaded(*arguments, **more).config.pools
    assert pool.health_check.tls is pool.tls
    return pool.tls


def test_every_key_arrives() -> None:
    given = {**CA_FILE, **CLIENT, "client_key_password_env": "P", "server_name": "app.internal.", "verify": False}
    assert settings(given) == BackendTls(
        True, False, read(CA.cert), read(PAIR.cert), read(PAIR.key), "P", "app.internal"
    )  # fmt: skip


def test_a_pools_keys_win_over_those_at_the_top_one_by_one() -> None:
    assert settings() == BackendTls()
    assert settings({}) == BackendTls(True)
    assert settings(top=CA_FILE) == BackendTls(True, ca_file=read(CA.cert))
    own = settings({"server_name": "app"}, {**CA_FILE, "server_name": "other"})
    assert (own.ca_file, own.server_name) == (read(CA.cert), "app")
    assert not settings({"enabled": False}, CA_FILE).enabled


def test_an_address_says_whether_it_has_tls() -> None:
    (pool,) = loaded(top={**CA_FILE, "enabled": False}, address="https://app").config.pools
    (backend,) = pool.backends
    assert (str(backend.address), backend.scheme, pool.tls.is_for(backend.scheme)) == ("app:443", "https", True)
    (listener,) = loaded(top=CA_FILE).config.listeners
    assert not listener.tls.enabled  # TLS to backends alone secures no listener


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"tls": {"ca_file": "/nowhere"}}, "pools.p.tls.ca_file: '/nowhere' can't be read: No such file"),
        ({"top": {"ca_file": "/nowhere"}}, "tls.backend.ca_file: '/nowhere' can't be read: No such file"),
        ({"tls": {"ca_file": str(PAIR.key)}, **FOUND}, "pools.p.tls.ca_file: .* has no certificate in PEM format"),
        ({"tls": {"ca_file": str(PAIR.key)}}, "pools.p.tls.ca_file: .* has no certificate in PEM format"),
        ({"tls": {"ca_file": "/dev/null"}}, "pools.p.tls.ca_file: '/dev/null' is empty or can't be read"),
        ({"tls": {"client_cert_file": str(PAIR.cert)}}, "pools.p.tls.client_cert_file: stands alone; our own"),
        ({"tls": {"client_key_file": str(PAIR.key)}}, "pools.p.tls.client_key_file: stands alone; our own certificate needs"),
        ({"tls": {**CLIENT, "client_key_file": str(CA.key)}}, "pools.p.tls.client_key_file: .* is not the key of"),
        ({"top": {**CLIENT, "client_key_file": str(CA.key)}}, "tls.backend.client_key_file: .* is not the key of"),
        ({"tls": {"client_key_password_env": "P"}}, "pools.p.tls.client_key_password_env: is the password of no key"),
        ({"tls": {"server_name": "app:443"}}, "pools.p.tls.server_name: 'app:443' is not a host name or an IP address"),
        ({"tls": {"server_name": "*.internal"}}, "pools.p.tls.server_name: .* is not a host name or an IP address"),
        ({"tls": CA_FILE, "address": "http://a:1"}, r"pools.p.backends\[0\].address: http:// is without TLS, and"),
        ({"tls": CA_FILE, "address": "unix:/run/x"}, r"pools.p.backends\[0\].address: is a Unix socket, whose certificate"),
        ({"tls": {"min_version": "1.3"}}, "pools.p.tls.min_version: unknown key; allowed: enabled, verify"),
        ({"pools": {"p": {"backends": [{"address": "a:1", "tls": {}}]}}}, r".*\[0\].tls: unknown key; write https://host:port"),
        ({"listeners": [{"listen": ":1", "tls": {"backend": {}}}]}, r"listeners\[0\].tls.backend: unknown key; write it as"),
        ({"http": {"routes": [{"name": "r", "tls": {}}]}}, r"http.routes\[0\].tls: unknown key; write tls in the pool"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_no_start(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(**arguments)
    found = [f"{problem.path}: {problem.message}" for problem in caught.value.problems]
    assert any(re.match(problem, each) for each in found), found
    assert all("\n" not in each for each in found)


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ({"tls": {"verify": False}}, "pools.p.tls.verify: is false: pool 'p' talks to whoever answers, and"),
        ({"top": {"verify": False, **CA_FILE}}, "tls.backend.verify: is false: .*; ca_file is not looked at"),
        ({"tls": {"enabled": False, **CA_FILE}}, "pools.p.tls: has no effect: it is not enabled, and no backend's address has"),
        (
            {"tls": {f"client_{name}_file": str(path) for name, path in self_signed("soon", days=20)._asdict().items()}},
            "pools.p.tls.client_cert_file: .* expires on ",
        ),
        ({"tls": CA_FILE}, ""),
        ({"tls": {**CA_FILE, "server_name": "a"}, "address": "unix:/run/x"}, ""),
        ({"tls": {"enabled": False}}, ""),
        ({"tls": CA_FILE, **FOUND}, "pools.p.tls.server_name: is not set, and dns finds addresses, which few certificates"),
        ({"tls": {**CA_FILE, "server_name": "app.test"}, **FOUND}, ""),
        ({"tls": {"enabled": False, **CA_FILE}, **FOUND}, "pools.p.tls: has no effect: it is not enabled, and no backend's"),
    ],
)  # fmt: skip
def test_what_will_be_regretted_is_warned_of(arguments: dict[str, Any], warning: str) -> None:
    found = [f"{warning.path}: {warning.message}" for warning in loaded(**arguments).warnings]
    assert [each for each in found if re.match(warning, each)] if warning else found == []


def test_no_key_is_shown_and_a_changed_file_is_a_difference() -> None:
    old = loaded({**CA_FILE, **CLIENT, "client_key_password_env": "P"}).config
    shown = str(redacted(old)) + repr(old)
    assert "PRIVATE" not in shown
    assert str(PAIR.key) in shown
    assert "'client_key_password_env': 'P'" in shown
    newer = self_signed("balance", number=3)
    new = loaded({**CA_FILE, "client_cert_file": str(newer.cert), "client_key_file": str(newer.key)}).config
    assert any(line.startswith("~ tls of pool p: client_cert_file ") for line in difference(old, new))


def test_a_pair_that_is_half_written_keeps_the_one_that_is_used() -> None:
    served = loaded({**CA_FILE, **CLIENT}).config.pools[0].tls.client
    assert served is not None
    before = PAIR.key.read_bytes()
    try:
        PAIR.key.write_bytes(CA.key.read_bytes())
        changed = load_with_changes(text({**CA_FILE, **CLIENT}), "x.yaml", {}, (), Served((served,)))
    finally:
        PAIR.key.write_bytes(before)
    assert changed.loaded.config.pools[0].tls.client == served
    (warning,) = changed.loaded.warnings
    assert warning.path == "pools.p.tls.client_cert_file"
    assert "is not the key of the certificate" in warning.message
