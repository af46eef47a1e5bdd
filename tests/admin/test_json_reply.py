"""Answers as JSON, and a verdict as one."""

import json

import pytest

from balance.admin.json_reply import iso_time, order_result_reply, reply
from balance.admin.supervisor_orders import OrderResult


def test_an_answer_is_json_that_no_cache_keeps() -> None:
    answer = reply({"a": "é"}, 404, {"Allow": "GET"})
    assert (answer.status_code, bytes(answer.body)) == (404, '{\n  "a": "é"\n}\n'.encode())
    assert (answer.headers["cache-control"], answer.headers["allow"]) == ("no-store", "GET")


@pytest.mark.parametrize(
    ("order_result", "status", "error"),
    [
        (OrderResult(True, 2, ("~ workers: 1 -> 2",), summary="workers changed"), 200, None),
        (OrderResult(False, 1, problems=("first", "second")), 409, "first"),
        (OrderResult(False, 1, summary="nothing changed"), 409, "nothing changed"),
        (OrderResult(False, 1), 409, "refused"),
    ],
)
def test_a_verdict_is_200_or_409_with_its_reason(order_result: OrderResult, status: int, error: str | None) -> None:
    answer = order_result_reply(order_result, name="a")
    document = json.loads(bytes(answer.body))
    assert answer.status_code == status
    assert document.get("error") == error
    assert (document["done"], document["name"], document["problems"]) == (status == 200, "a", list(order_result.problems))


def test_a_moment_is_a_time_of_day_in_utc() -> None:
    assert iso_time(0.25) == "1970-01-01T00:00:00.250+00:00"
