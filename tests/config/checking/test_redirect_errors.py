"""Where redirect_http does nothing, and what of a listener's routes it leaves."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pem_files import self_signed

from balance.config import load_text
from balance.config.model import ListenerConfig
from balance.errors import ConfigError

A = self_signed("a.example")
PAIR = {"cert_file": str(A.cert), "key_file": str(A.key)}


def listeners(plain: dict[str, Any], port: int = 8443, **top: Any) -> tuple[ListenerConfig, ...]:
    """Those of a file with a listener with TLS and this one."""
    both = [{"name": "https", "listen": f":{port}", "tls": PAIR}, {"name": "http", "listen": ":8080", **plain}]
    text = {"listeners": both, "pools": {"p": {"backends": [{"address": "127.0.0.1:9001"}]}}, **top}
    return load_text(yaml.safe_dump(text), "x.yaml", {}).config.listeners


def targets(listener: ListenerConfig) -> list[tuple[str, int]]:
    return [(route.match.path, route.redirect.port if route.redirect else -1) for route in listener.http.routes]


ACME = {"name": "acme", "path_prefix": "/.well-known/acme-challenge/"}


@pytest.mark.parametrize(
    ("plain", "top", "expected"),
    [
        ({"tls": {"redirect_http": True}}, {}, [("", 8443)]),
        ({"tls": {"redirect_http": 443}}, {}, [("", 443)]),
        ({"tls": {"redirect_http": True, "enabled": False}}, {}, [("", 8443)]),
        ({"tls": {"redirect_http": False, "enabled": False}}, {}, []),
        ({"tls": {"enabled": False}}, {"tls": {**PAIR, "redirect_http": True}}, [("", 8443)]),
        ({"tls": {"redirect_http": True}, "http": {"routes": [ACME]}}, {}, [("/.well-known/acme-challenge", -1), ("", 8443)]),
        ({"tls": {"redirect_http": True}}, {"http": {"routes": [ACME, {"name": "rest"}]}},
         [("/.well-known/acme-challenge", -1), ("", 8443)]),
    ],
)  # fmt: skip
def test_clients_are_sent_to_the_port_with_tls(plain: dict[str, Any], top: Any, expected: list[tuple[str, int]]) -> None:
    secure, http = listeners(plain, **top)
    assert targets(http) == expected
    assert not http.tls.enabled
    assert secure.tls.enabled
    assert all(route.redirect is None for route in secure.http.routes)


@pytest.mark.parametrize(("said", "is_told"), [(True, True), (443, False), (8443, False)])
def test_without_a_port_that_has_tls_it_is_that_of_https_and_told(said: object, is_told: bool) -> None:
    text = {"listen": ":8080", "backends": [{"address": "h:1"}], "tls": {"redirect_http": said}}
    loaded = load_text(yaml.safe_dump(text), "x.yaml", {})
    assert targets(loaded.config.listeners[0]) == [("", 8443 if said == 8443 else 443)]
    told = [str(each) for each in loaded.warnings if "redirect_http" in str(each)]
    assert len(told) == is_told
    assert all(
        "tls.redirect_http: sends clients to https at port 443, where no listener here speaks TLS" in each for each in told
    )


@pytest.mark.parametrize(
    ("plain", "top", "message"),
    [
        ({"tls": {"redirect_http": True}, "mode": "tcp"}, {}, "needs mode http"),
        ({"tls": {"redirect_http": True, **PAIR}}, {}, "is for a listener without TLS, and this one has some"),
        (
            {"tls": {"redirect_http": True}, "http": {"routes": [ACME, {"name": "rest"}]}},
            {},
            "is never reached beside redirect_http",
        ),
        ({"tls": PAIR}, {"tls": {"redirect_http": True}}, "does nothing: no listener speaks plain HTTP"),
        ({"tls": {"redirect_http": "yes"}}, {}, "expected true, false or a port in 1..65535"),
    ],
)
def test_what_would_do_nothing_is_refused(plain: dict[str, Any], top: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        listeners(plain, **top)
    assert [each.message for each in caught.value.problems if message in each.message], caught.value.problems
