"""Flags give the configuration of the equivalent file."""

import pytest

from balance.config import from_flags, load_text
from balance.errors import ConfigError

BACKENDS = "backends: [{address: 127.0.0.1:9001}, {address: 127.0.0.1:9002}]\n"


def test_flags_mean_what_the_file_means() -> None:
    text = "listen: ':8000'\nmode: tcp\nload_balancer: {algorithm: least-connections}\nworkers: 1\n" + BACKENDS
    flags = from_flags(
        listen=[":8000"],
        backends=["127.0.0.1:9001", "127.0.0.1:9002"],
        mode="tcp",
        algorithm="least_connections",
        workers="1",
        env={},
    )
    assert flags.config == load_text(text, "command line", {}).config


def test_the_flags_of_existing_users() -> None:
    text = (
        "mode: http\nlisten: ':8000'\nbackends: [{address: 'a:8080'}, {address: 'b:8081'}]\ntimeouts: {read: 20s}\n"
        "health_check: {enabled: true, type: http, path: /, interval: 10s, timeout: 2s}\n"
    )
    flags = from_flags(
        port=8000,
        backends=["http://a:8080,http://b:8081"],
        health_path="/",
        health_interval="10",
        health_timeout="2",
        backend_timeout="20",
        env={},
    )
    assert flags.config == load_text(text, "command line", {}).config


def test_a_port_is_one_more_address_to_listen_on() -> None:
    (listener,) = from_flags(listen=[":1", ":2"], port=3, backends=["a:1"], env={}).config.listeners
    assert [str(address) for address in listener.addresses] == [":1", ":2", ":3"]


def test_a_flag_wins_over_a_variable_and_a_variable_over_nothing() -> None:
    env = {"BALANCE_MODE": "tcp", "BALANCE_LISTEN": ":1"}
    assert from_flags(backends=["a:1"], mode="http", env=env).config.listeners[0].mode == "http"
    assert str(from_flags(backends=["a:1"], env=env).config.listeners[0].addresses[0]) == ":1"


def test_a_health_flag_on_tcp_asks_by_connecting() -> None:
    assert from_flags(backends=["a:1"], mode="tcp", health_interval="5", env={}).config.pools[0].health_check.kind == "tcp"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"backends": ["a"]},
            "--backend: backends[0].address: 'a' has no port; write host:port, :port, [v6]:port or unix:/path",
        ),
        ({"backends": ["a:1"], "port": 70000}, "--port: ':70000': port 70000 is not in 0..65535"),
        ({"backends": ["a:1"], "mode": "udp"}, "--mode: 'udp' is not one of tcp, http"),
        ({"backends": ["a:1"], "health_interval": "x"}, "--health-interval: 'x' is not a duration; "),
        ({}, "command line: backends: is missing; write "),
    ],
)
def test_a_wrong_flag_is_named(flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_flags(**flags, env={})  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
