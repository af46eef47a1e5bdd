"""Warnings about client addresses on Unix sockets and about trusted_proxies."""

from __future__ import annotations

import pytest

from balance.config import load_text

QUIET = """\
listen: ":8080"
backends:
  - {address: "127.0.0.1:9001"}
  - {address: "127.0.0.1:9002"}
health_check:
  enabled: true
"""
TCP = QUIET + "mode: tcp\n"
UNIX = QUIET.replace(":8080", "unix:/run/b.sock")
NO_ADDRESS = "has no effect on unix:/run/b.sock, where clients have no address: their requests go anywhere"
PROXY_HINT = "; with security.trusted_proxies: [unix] the proxy in front tells it"


def warnings_of(text: str) -> list[str]:
    return [str(warning) for warning in load_text(text, "f.yaml", {}).warnings]


CASES = [
    (
        UNIX + "load_balancer: {algorithm: source-ip}",
        f"7:28: load_balancer.algorithm: source-ip {NO_ADDRESS}{PROXY_HINT}",
    ),
    (
        UNIX + "load_balancer: {algorithm: maglev}",
        f"7:28: load_balancer.algorithm: hash_key source-ip {NO_ADDRESS}{PROXY_HINT}",
    ),
    (
        UNIX + "load_balancer: {algorithm: maglev, hash_key: source-ip}",
        f"7:46: load_balancer.hash_key: hash_key source-ip {NO_ADDRESS}{PROXY_HINT}",
    ),
    (
        UNIX + "mode: tcp\nload_balancer: {algorithm: source-ip}",
        f"8:28: load_balancer.algorithm: source-ip {NO_ADDRESS}",
    ),
    (
        UNIX + "session_affinity: {enabled: true, mode: source-ip}",
        f"7:41: session_affinity.mode: session_affinity by source-ip {NO_ADDRESS}{PROXY_HINT}",
    ),
    (
        QUIET.replace('":8080"', '[":8080", "unix:/run/b.sock"]') + "load_balancer: {algorithm: source-ip}",
        f"7:28: load_balancer.algorithm: source-ip {NO_ADDRESS}{PROXY_HINT}",
    ),
    (
        UNIX + "security: {trusted_proxies: [10.0.0.0/8]}",
        "7:29: security.trusted_proxies: has no effect: clients of a Unix socket have no address; write unix to believe the "
        "proxy that connects to it",
    ),
    (
        QUIET + "security: {trusted_proxies: [10.0.0.0/8, unix]}",
        "7:42: security.trusted_proxies[1]: no listener of mode http is a Unix socket: unix only stands for hops that a proxy "
        "in front wrote as unix:",
    ),
    (
        TCP + "security: {trusted_proxies: [10.0.0.0/8]}",
        "8:29: security.trusted_proxies: has no effect: no listener has mode http, and only requests say whom they come from",
    ),
    (
        QUIET + "security: {client_address: rfc7239}",
        "7:28: security.client_address: has no effect without trusted_proxies: nobody is believed",
    ),
]


@pytest.mark.parametrize(("text", "message"), CASES)
def test_what_has_no_effect_for_want_of_an_address_is_remarked_on(text: str, message: str) -> None:
    assert warnings_of(text) == [f"f.yaml:{message}"]


def test_the_listener_is_named_where_the_key_stands_nowhere() -> None:
    text = UNIX.replace("health_check", "load_balancer: {algorithm: maglev}\nhealth_check")
    (message,) = warnings_of(text)
    assert message.startswith("f.yaml:5:28: load_balancer.algorithm: hash_key source-ip has no effect on unix:/run/b.sock")


@pytest.mark.parametrize(
    "text",
    [
        UNIX + "security: {trusted_proxies: [unix]}",
        UNIX + "security: {trusted_proxies: [unix]}\nload_balancer: {algorithm: source-ip}",
        UNIX + "security: {trusted_proxies: [unix]}\nsession_affinity: {enabled: true, mode: source-ip}",
        UNIX + "load_balancer: {algorithm: maglev, hash_key: path}",
        QUIET + "load_balancer: {algorithm: source-ip}",
        QUIET + "security: {trusted_proxies: [10.0.0.0/8], client_address: rfc7239}",
    ],
)
def test_an_address_that_is_known_is_no_matter(text: str) -> None:
    assert warnings_of(text) == []
