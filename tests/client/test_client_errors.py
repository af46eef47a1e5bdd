"""Which exception a refusal is, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from balance.client import (
    BusyError,
    ClientError,
    ConflictError,
    ForbiddenError,
    InternalError,
    NotAuthorisedError,
    NotFoundError,
    RefusedError,
)
from balance.client.errors import refusal
from balance.errors import BalanceError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError), (401, NotAuthorisedError), (403, ForbiddenError), (404, NotFoundError), (405, RefusedError),
        (409, ConflictError), (413, RefusedError), (429, BusyError), (500, InternalError), (502, InternalError),
        (503, BusyError), (302, RefusedError),
    ],
)  # fmt: skip
def test_each_status_is_an_exception(status: int, kind: type[RefusedError]) -> None:
    error = refusal(status, {"error": "no"})
    assert (type(error), str(error), error.status, error.problems) == (kind, "no", status, ("no",))
    assert isinstance(error, ClientError) and isinstance(error, BalanceError)


@pytest.mark.parametrize(
    ("document", "message", "problems"),
    [
        ({}, "it answered 409", ("it answered 409",)),
        ({"error": ""}, "it answered 409", ("it answered 409",)),
        ({"error": ["x"]}, "it answered 409", ("it answered 409",)),
        ({"error": "a", "problems": ["a", "b"]}, "a", ("a", "b")),
        ({"error": "a", "problems": "b"}, "a", ("a",)),
        ({"error": "a", "problems": [1, None, "b"]}, "a", ("b",)),
        ({"error": "a\n\x1b[2Jb", "problems": []}, "a\\n\\x1b[2Jb", ("a\\n\\x1b[2Jb",)),
    ],
)
def test_it_says_what_the_instance_said_on_one_line(document: dict[str, Any], message: str, problems: tuple[str, ...]) -> None:
    error = refusal(409, document)
    assert (str(error), error.problems) == (message, problems)
