"""Who `user` and `group` are, by name or number, and what is said where this machine has none such."""

from __future__ import annotations

import re

import pytest

from balance.config import load_text
from balance.config.checking.user_ids import ids_of
from balance.errors import ConfigError

BASE = "listen: ':8080'\nbackends: [{address: '127.0.0.1:1'}]\n"


@pytest.mark.parametrize(
    ("user", "group", "expected"),
    [
        ("root", "", (0, 0)),
        ("0", "", (0, 0)),
        ("root", "12345", (0, 12345)),
        ("54321", "12345", (54321, 12345)),  # a container's user need not have a name
        ("0", "root", (0, 0)),
    ],
)
def test_users_and_groups_have_these_numbers(user: str, group: str, expected: tuple[int, int]) -> None:
    assert ids_of(user, group) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("user: no-such-user", "3:7: user: this machine has no user 'no-such-user'"),
        ("user: root\ngroup: no-such-group", "4:8: group: this machine has no group 'no-such-group'"),
        ("user: 54321", "3:7: user: 54321 has no entry on this machine that would tell its group; write group, too"),
        ("group: root", "3:8: group: has no effect without user; write user, too"),
        ("user: 'a b'", "3:7: user: 'a b' is not the name or number of an account"),
        ("user: ''", "3:7: user: '' is not the name or number of an account"),
    ],
)
def test_who_is_unknown_is_one_line(lines: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_text(f"{BASE}{lines}\n", "f", {})
    (problem,) = raised.value.problems
    assert re.sub("^f:", "", str(problem)) == message


def test_numbers_may_be_written_without_quotes() -> None:
    config = load_text(f"{BASE}user: 54321\ngroup: 12345\n", "f", {}).config
    assert (config.user, config.group) == ("54321", "12345")
