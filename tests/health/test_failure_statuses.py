"""Which statuses count as failures of a backend."""

import pytest

from balance.health.failure_statuses import is_success


@pytest.mark.parametrize(
    ("status", "good"),
    [(200, True), (302, True), (404, True), (429, True), (499, True), (500, False), (501, True), (502, False), (503, False),
     (504, False), (505, True), (507, False), (599, False)],
)  # fmt: skip
def test_a_status_is_blamed_on_the_backend_or_not(status: int, good: bool) -> None:
    assert is_success(status) is good
