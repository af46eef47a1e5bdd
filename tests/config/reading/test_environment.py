"""Environment variables override keys of the file."""

import pytest

from balance.config import load_text
from balance.config.model import Config
from balance.errors import ConfigError
from balance.model import Address, Mode

SIMPLE = 'mode: http\nlisten: ":8080"\nbackends:\n  - address: 127.0.0.1:9001\n'
FULL = 'listeners: [{listen: ":8080"}]\npools: {p: {backends: [{address: "127.0.0.1:9001"}]}}\n'


def config_of(text: str, **env: str) -> Config:
    return load_text(text, "f.yaml", env).config


@pytest.mark.parametrize("text", [SIMPLE, FULL])
def test_each_variable_wins_over_the_file(text: str) -> None:
    config = config_of(
        text, BALANCE_LISTEN="127.0.0.1:7000", BALANCE_MODE="tcp", BALANCE_LOG_LEVEL="DEBUG", BALANCE_WORKERS="3"
    )
    (listener,) = config.listeners
    assert (listener.addresses, listener.mode) == ((Address("127.0.0.1", 7000),), Mode.TCP)
    assert (config.logging.level, config.workers) == ("debug", 3)


def test_a_list_of_addresses_is_written_with_commas() -> None:
    (listener,) = config_of(SIMPLE, BALANCE_LISTEN=":7000, [::1]:7001").listeners
    assert listener.addresses == (Address("", 7000), Address("::1", 7001))


def test_a_variable_can_stand_for_a_key_that_the_file_leaves_out() -> None:
    text = "backends:\n  - address: 127.0.0.1:9001\n"
    assert config_of(text, BALANCE_LISTEN=":7000").listeners[0].addresses == (Address("", 7000),)


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert config_of(SIMPLE, BALANCE_LISTEN="", BALANCE_MODE=" ") == config_of(SIMPLE)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BALANCE_MODE", "udp", "BALANCE_MODE: mode: 'udp' is not one of tcp, http"),
        (
            "BALANCE_LISTEN",
            "8080",
            "BALANCE_LISTEN: listen: '8080' has no port; write host:port, :port, [v6]:port or unix:/path",
        ),
        ("BALANCE_WORKERS", "0", "BALANCE_WORKERS: workers: 0 is not in 1..1024"),
        ("BALANCE_LOG_LEVEL", "x", "BALANCE_LOG_LEVEL: logging.level: 'x' is not one of debug, info, warning, error"),
    ],
)
def test_a_wrong_value_is_reported_under_the_name_of_the_variable(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(SIMPLE, **{variable: value})
    assert str(caught.value) == message


def test_a_variable_that_could_mean_several_listeners_is_refused() -> None:
    text = FULL.replace('[{listen: ":8080"}]', '[{listen: ":8080"}, {listen: ":8081"}]')
    with pytest.raises(ConfigError, match="BALANCE_LISTEN: listen: can't say which of the 2 listeners it means"):
        config_of(text, BALANCE_LISTEN=":1")
