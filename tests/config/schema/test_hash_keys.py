"""Parsing of hash_key, and the messages about invalid ones."""

from random import random

import pytest

from balance.balancing import POLICIES, Needs
from balance.config import load_text
from balance.config.model import HashKey
from balance.config.schema.hash_keys import HASHING
from balance.errors import ConfigError

START = "listen: ':1'\nbackends: [{address: a:1}]\nmode: http\n"


def written(hash_key: str, algorithm: str = "maglev") -> HashKey:
    text = f'{START}load_balancer: {{algorithm: {algorithm}, hash_key: "{hash_key}"}}\n'
    return load_text(text, "f.yaml", {}).config.pools[0].hash_key


@pytest.mark.parametrize(
    ("text", "hash_key"),
    [
        ("source-ip", HashKey("source-ip")),
        ("source_ip", HashKey("source-ip")),
        ("path", HashKey("path")),
        ("header:X-User", HashKey("header", "X-User")),
        ("Header: X-User", HashKey("header", "X-User")),
        ("cookie:session", HashKey("cookie", "session")),
        ("query:user[id]", HashKey("query", "user[id]")),
    ],
)
def test_every_kind_is_read(text: str, hash_key: HashKey) -> None:
    assert written(text) == hash_key


@pytest.mark.parametrize("algorithm", HASHING)
def test_without_a_key_the_address_is_hashed(algorithm: str) -> None:
    config = load_text(START + f"load_balancer: {{algorithm: {algorithm}}}\n", "f.yaml", {}).config
    assert config.pools[0].hash_key == HashKey("source-ip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uri", "'uri' is not one of source-ip, path, header:NAME, cookie:NAME or query:NAME"),
        ("path:x", "'path:x' is not one of source-ip, path, header:NAME, cookie:NAME or query:NAME"),
        ("header", "'header': '' is not the name of a header field, like header:X-User"),
        ("header:X User", "'header:X User': 'X User' is not the name of a header field, like header:X-User"),
        ("cookie:a;b", "'cookie:a;b': 'a;b' is not the name of a cookie, like cookie:session"),
        ("query:a=b", "'query:a=b': 'a=b' is not the name of a query parameter, like query:user"),
        (
            "header:X-Forwarded-For",
            "'header:X-Forwarded-For' is what anybody may claim; source-ip follows security.trusted_proxies",
        ),
    ],
)
def test_what_is_none_is_told_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(text)
    assert [problem.message for problem in caught.value.problems] == [message]


def test_source_ip_hashes_the_address_whatever_is_written() -> None:
    assert written("header:X-User", "source-ip") == HashKey("source-ip")


def test_whoever_follows_a_key_is_listed() -> None:
    assert {*HASHING, "source-ip"} == {name for name, policy in POLICIES.items() if Needs.KEY in policy(random).needs}


@pytest.mark.parametrize(
    ("spelling", "algorithm"),
    [
        ("bounded-consistent-hash", "bounded-load"),
        ("Bounded_Consistent_Hash", "bounded-load"),
        ("power_of_two", "power-of-two"),
    ],
)
def test_other_spellings_of_an_algorithm_are_understood(spelling: str, algorithm: str) -> None:
    config = load_text(START + f"load_balancer: {{algorithm: {spelling}}}\n", "f.yaml", {}).config
    assert config.pools[0].algorithm == algorithm
