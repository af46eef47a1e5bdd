"""What an image says of its build, in variables that the Dockerfile sets from its arguments; elsewhere there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

VARIABLES: Final = ("BALANCE_BUILD_VERSION", "BALANCE_GIT_COMMIT", "BALANCE_BUILD_TIME")
NOT_GIVEN: Final = ("", "dev", "unknown")
_LONGEST: Final = 100


class BuildDetails(NamedTuple):
    """Each is None where nobody said it."""

    version: str | None
    git_commit: str | None
    build_time: str | None

    @classmethod
    def of(cls, env: Mapping[str, str]) -> BuildDetails:
        """By the variables."""
        return cls(*(_said(env.get(name, "")) for name in VARIABLES))

    def __str__(self) -> str:
        """In a line: `build 1.4.0-2, commit 3f2a, of 2026-11-29`; empty where nothing is known."""
        words = zip(("build", "commit", "of"), self, strict=True)
        return ", ".join(f"{word} {value}" for word, value in words if value)


def _said(text: str) -> str | None:
    return None if text in NOT_GIVEN else "".join(char if char.isprintable() else "?" for char in text)[:_LONGEST]
