"""Keys of features that this version lacks are refused by name."""

from pathlib import Path

import pytest

from balance.config import load_text
from balance.config.schema.common_sections import ALGORITHMS
from balance.config.schema.schema import CHECKS
from balance.config.schema.unsupported_keys import UNSUPPORTED_KEYS
from balance.errors import ConfigError

WORKING = 'mode: http\nlisten: ":8080"\nbackends:\n  - address: 127.0.0.1:9001\n'

SECTION_TEXTS = {
    "": "{key}: {{}}",
    "listener": "listeners: [{{listen: ':1', {key}: 1}}]",
    "pool": "pools: {{p: {{backends: [{{address: 'a:1'}}], {key}: 1}}}}",
    "backend": "    {key}: 1",
    "health_check": "health_check: {{{key}: 1}}",
    "http": "http: {{{key}: 1}}",
    "rate_limit": "rate_limit: {{{key}: 1}}",
    "route": "http: {{routes: [{{{key}: 1}}]}}",
    "resilience": "resilience: {{{key}: 1}}",
    "route security": "http: {{routes: [{{security: {{{key}: 1}}}}]}}",
    "security.jwt": "security: {{jwt: {{{key}: 1}}}}",
    "security": "security: {{{key}: 1}}",
    "listener security": "listeners: [{{listen: ':1', security: {{{key}: 1}}}}]",
    "tls": "tls: {{{key}: 1}}",
    "listener tls": "listeners: [{{listen: ':1', tls: {{{key}: 1}}}}]",
    "discovery": "discovery: {{{key}: 1}}",
    "admin": "admin: {{{key}: 1}}",
    "admin.auth": "admin: {{auth: {{{key}: 1}}}}",
    "metrics": "metrics: {{{key}: 1}}",
    "access_log": "logging: {{access_log: {{{key}: 1}}}}",
}


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.yaml", {})
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("section", "key"), [(section, key) for section, keys in UNSUPPORTED_KEYS.items() for key in sorted(keys)]
)
def test_a_later_key_is_refused_by_name(section: str, key: str) -> None:
    assert f"{key!r} is not available in this version" in problems_of(WORKING + SECTION_TEXTS[section].format(key=key) + "\n")


@pytest.mark.parametrize("key", ["trusted_proxies", "client_address"])
def test_who_is_believed_is_said_at_the_top_for_all_listeners(key: str) -> None:
    text = f"listeners: [{{listen: ':1', security: {{{key}: 1}}}}]\nbackends: [{{address: 'a:1'}}]\n"
    assert f"unknown key here; it belongs to security.{key}" in problems_of(text)


def test_a_later_section_is_refused_even_when_it_says_that_it_is_off() -> None:
    assert problems_of(WORKING + "admin: {auth: {basic: {enabled: false}}}\n") == ["'basic' is not available in this version"]


def test_a_misspelt_later_key_is_told_apart_from_a_known_one() -> None:
    assert problems_of(WORKING + "admin: {auth: {basics: {}}}\n") == [
        "unknown key; 'basic', if that is meant, is not available in this version"
    ]


def test_what_is_offered_is_what_there_is() -> None:
    from balance.balancing import POLICIES
    from balance.probes import PROBES

    assert set(ALGORITHMS) == set(POLICIES)
    assert set(CHECKS) == set(PROBES)


def test_the_readme_lists_what_there_is_not() -> None:
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    section = readme.partition("### What it does not, in this version")[2].partition("\n###")[0]
    assert not [key for keys in UNSUPPORTED_KEYS.values() for key in keys if f"`{key}`" not in section]
