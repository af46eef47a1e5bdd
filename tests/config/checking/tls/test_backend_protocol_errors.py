"""Where the protocol of a backend comes from, and what HTTP/2 to backends can't be had with."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from balance.config import load_text
from balance.config.model import Config
from balance.errors import ConfigError


def text(backend: dict[str, Any] | None = None, pool: dict[str, Any] | None = None, **top: Any) -> str:
    backends = [{"address": "127.0.0.1:9001", **(backend or {})}]
    return yaml.safe_dump({"listeners": [{"listen": ":8080"}], "pools": {"p": {"backends": backends, **(pool or {})}}, **top})


def loaded(*arguments: Any, **top: Any) -> Config:
    return load_text(text(*arguments, **top), "x.yaml", {}).config


def refused(*arguments: Any, **top: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(*arguments, **top)
    return str(caught.value)


def protocol(*arguments: Any, **top: Any) -> str:
    return loaded(*arguments, **top).pools[0].backends[0].protocol


def test_the_nearest_key_wins() -> None:
    assert protocol() == "http1"
    assert protocol(backend_protocol="h2c") == "h2c"
    assert protocol(None, {"backend_protocol": "h2c"}) == "h2c"
    assert protocol(None, {"backend_protocol": "http1"}, backend_protocol="h2c") == "http1"
    assert protocol({"protocol": "http1"}, {"backend_protocol": "h2c"}) == "http1"
    simple = load_text('listen: ":8080"\nbackend_protocol: h2c\nbackends: [{address: "127.0.0.1:9001"}]', "x.yaml", {})
    assert simple.config.pools[0].backends[0].protocol == "h2c"


def test_h2_and_auto_are_over_tls_and_h2c_is_not() -> None:
    assert protocol({"address": "https://app.test:443", "protocol": "h2"}) == "h2"
    assert protocol({"protocol": "auto"}, {"tls": {"enabled": True, "server_name": "app.test"}}) == "auto"
    assert "p.backends[0].protocol: h2 is over TLS, and this backend has none" in refused({"protocol": "h2"})
    assert "auto asks by ALPN, which is of TLS" in refused({"protocol": "auto"})
    assert "h2c is without TLS, and this backend has TLS" in refused({"address": "https://app.test:443", "protocol": "h2c"})
    assert "x.yaml:1:19: backend_protocol: h2 is over TLS" in refused(backend_protocol="h2")
    assert "'spdy' is none of" in refused({"protocol": "spdy"}) or "spdy" in refused({"protocol": "spdy"})


def test_tcp_mode_has_no_requests_to_share_a_connection() -> None:
    assert "h2c is for HTTP mode, and listener 'listener-1' has mode tcp" in refused({"protocol": "h2c"}, mode="tcp")


def test_a_shared_connection_names_no_client() -> None:
    assert "the header of proxy_protocol.send names one" in refused({"protocol": "h2c"}, {"proxy_protocol": {"send": "v2"}})


def test_copies_and_questions_are_sent_with_http1() -> None:
    pools = {
        "p": {"backends": [{"address": "127.0.0.1:9001"}]},
        "q": {"backends": [{"address": "127.0.0.1:9002", "protocol": "h2c"}]},
    }
    route = {"path": "/", "pool": "p", "policy": {"mirror": {"pool": "q"}}}
    listeners = [{"listen": ":8080", "pool": "p", "http": {"routes": [route]}}]
    message = "pools.q.backends[0].protocol: h2c is not for copies of a mirror, which are sent with HTTP/1.1"
    assert message in refused(pools=pools, listeners=listeners)
    message = "pools.q.backends[0].protocol: h2c is not for questions to an authorizer"
    asked = {"forward_auth": {"enabled": True, "pool": "q"}}
    assert message in refused(pools=pools, listeners=[{"listen": ":8080", "pool": "p"}], security=asked)
