"""What a refusal of the admin port is counted as."""

from __future__ import annotations

import pytest
from asgi_client import ask
from starlette.exceptions import HTTPException
from test_gate import CHANGE, READ, bearer, guarded

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


def test_whoever_is_refused_is_counted_and_nobody_else() -> None:
    fake_instance, app = guarded()
    ask(app, "/status", **bearer(CHANGE))
    ask(app, "/health")
    ask(app, "/nowhere")
    ask(app, "/reload", "POST", b"{}", **bearer(READ))
    ask(app, "/status?token=x")
    ask(app, "/status")
    for number in range(13):
        ask(app, "/status", **bearer(f"guess-{number}"))
    found = {reason.word: fake_instance.board.admin_refusals(reason) for reason in AdminRefusal}
    guesses = found.pop("wrong_token"), found.pop("too_many_guesses")
    assert found == {"bad_request": 1, "no_token": 1, "read_only_token": 1, "forbidden": 0}
    assert sum(guesses) == 13
    assert guesses[0] >= 10
