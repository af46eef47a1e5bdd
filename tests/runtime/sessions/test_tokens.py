"""Tokens: the same everywhere under one secret, and nothing to anybody else."""

from __future__ import annotations

import re

import pytest

from balance.config.model import BackendConfig
from balance.model import Address
from balance.runtime.backend import Backend
from balance.runtime.sessions.tokens import Tokens


def backends(count: int = 3) -> list[Backend]:
    return [Backend(BackendConfig(f"app-{n}", Address("a", n)), n) for n in range(1, count + 1)]


def test_a_token_leads_back_to_its_backend_in_every_worker() -> None:
    one, two = backends(), backends()
    first, second = Tokens(b"key", "web", one), Tokens(b"key", "web", reversed(two))
    for mine, theirs in zip(one, two, strict=True):
        assert second.backends.get(first.token(mine)) is theirs


@pytest.mark.parametrize(("secret", "pool"), [(b"other", "web"), (b"key", "api")])
def test_another_secret_or_pool_makes_other_tokens(secret: bytes, pool: str) -> None:
    some = backends()
    first, second = Tokens(b"key", "web", some), Tokens(secret, pool, some)
    assert [second.backends.get(first.token(backend)) for backend in some] == [None] * 3


def test_a_token_is_a_cookie_value_and_names_nobody() -> None:
    tokens = Tokens(b"key", "web", some := backends(200))
    values = {tokens.token(backend) for backend in some}
    assert len(values) == 200
    for value in values:
        assert re.fullmatch(rb"[A-Za-z0-9_-]{22}", value)


@pytest.mark.parametrize("guess", [b"", b"app-1", b"1", b"127.0.0.1:80", b"A" * 22, b"\xff" * 22, b"x" * 10_000])
def test_a_guess_is_ignored(guess: bytes) -> None:
    assert Tokens(b"key", "web", backends()).backends.get(guess) is None


def test_an_altered_token_is_ignored() -> None:
    tokens = Tokens(b"key", "web", some := backends())
    token = tokens.token(some[0])
    for at in range(len(token)):
        altered = token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]
        assert tokens.backends.get(altered) is None
