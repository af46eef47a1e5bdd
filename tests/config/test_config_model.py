"""The Config dataclasses: frozen, with lookup of pools by name."""

import dataclasses

import pytest

from balance.config.model import Config, PoolConfig, Timeouts


def test_a_pool_is_found_by_its_name() -> None:
    web, mail = PoolConfig("web", ()), PoolConfig("mail", ())
    assert Config((), (web, mail)).pool("mail") is mail
    with pytest.raises(KeyError):
        Config((), (web,)).pool("mail")


def test_a_configuration_never_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Timeouts().connect_s = 1.0  # type: ignore[misc]
    assert hash(Config((), ())) == hash(Config((), ()))
