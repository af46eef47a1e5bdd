"""An error in a value that is read as a whole, with the place in it: `when` of a rule is a tree of conditions."""

from __future__ import annotations


class InnerError(ValueError):
    """`path` leads from the value to what is wrong in it."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path
