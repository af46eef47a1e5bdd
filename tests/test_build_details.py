"""What an image says of its build."""

import pytest

from balance.build_details import VARIABLES, BuildDetails


@pytest.mark.parametrize(
    ("values", "details", "said"),
    [
        ((), (None, None, None), ""),
        (("dev", "unknown", "unknown"), (None, None, None), ""),  # the Dockerfile's defaults
        (("", "", ""), (None, None, None), ""),
        (("1.2-3", "3f2a", "2026-11-29"), ("1.2-3", "3f2a", "2026-11-29"), "build 1.2-3, commit 3f2a, of 2026-11-29"),
        (("dev", "3f2a\n\x1b[31m", "unknown"), (None, "3f2a??[31m", None), "commit 3f2a??[31m"),
        (("x" * 1000,), ("x" * 100, None, None), "build " + "x" * 100),
    ],
)
def test_details_are_those_of_the_variables(values: tuple[str, ...], details: tuple[str | None, ...], said: str) -> None:
    found = BuildDetails.of(dict(zip(VARIABLES, values, strict=False)))
    assert (tuple(found), str(found)) == (details, said)
