"""Keys, units and redaction of values in output."""

import pytest

from balance.config.model import AdminConfig, BackendConfig, HashKey, Limits, Timeouts
from balance.config.overrides.value_format import config_key, format_size, is_secret, is_section, json_value, redact_text
from balance.model import Address


@pytest.mark.parametrize(
    ("owner", "name", "key"),
    [
        (Timeouts, "read_s", "read"),
        (Limits, "head_bytes", "head"),
        (AdminConfig, "address", "listen"),
        (BackendConfig, "address", "address"),
        (BackendConfig, "weight", "weight"),
    ],
)
def test_a_field_has_the_name_of_its_key(owner: type, name: str, key: str) -> None:
    assert config_key(owner, name) == key


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("private_key", True),
        ("X-Api-Key", True),
        ("Cookie", True),
        ("hash_key", False),
        ("keepalive", False),
        ("monkey", False),
        ("path", False),
    ],
)
def test_what_is_secret_is_told_by_its_name(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("read_s", 90.0, "1m30s"),
        ("head_bytes", 65536, "64KB"),
        ("password", "x", "***"),
        ("password", "", ""),
        ("enabled", False, False),
        ("weight", 3, 3),
        ("address", Address("::1", 80), "[::1]:80"),
        ("token_s", None, None),
        ("pages", ((404, "x"),), [[404, "x"]]),
    ],
)
def test_a_value_is_plain(name: str, value: object, shown: object) -> None:
    assert json_value(name, value) == shown


def test_a_url_is_shown_without_who_asks() -> None:
    assert redact_text("redis://me:pw@h:1/0 and http://h/@x") == "redis://***@h:1/0 and http://h/@x"


def test_what_can_write_itself_is_no_section() -> None:
    assert [is_section(each) for each in (Timeouts(), HashKey(), Address("h", 1), 1)] == [True, False, False, False]


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (1, "1B"), (1024, "1KB"), (1536, "1536B"), (3 * 1024**3, "3GB")])
def test_a_size_is_short(count: int, text: str) -> None:
    assert format_size(count) == text
