"""What a refusal of the admin port is counted as."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from balance.admin.access.refusals import AdminRefusal, refusal_of


@pytest.mark.parametrize(
    ("status", "challenge", "expected"),
    [
        (400, "", "bad_request"),
        (401, "Bearer", "no_token"),
        (401, 'Bearer realm="balance", error="invalid_token"', "wrong_token"),
        (429, "", "too_many_guesses"),
        (403, 'Bearer error="insufficient_scope"', "read_only_token"),
        (403, "", "forbidden"),
    ],
)
def test_each_error_of_the_gate_has_its_word(status: int, challenge: str, expected: str) -> None:
    headers = {"WWW-Authenticate": challenge} if challenge else None
    assert refusal_of(HTTPException(status, "", headers)).word == expected


def test_numbers_are_cells_that_keep_their_meaning() -> None:
    assert [(each.value, each.word) for each in AdminRefusal] == list(
        enumerate(["bad_request", "no_token", "wrong_token", "too_many_guesses", "read_only_token", "forbidden"])
    )
