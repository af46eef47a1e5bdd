"""Holds an object of a compiled class, which nothing can refer to weakly: who may forget it refers to its holder instead.

The object lives as long as somebody has its holder. Not compiled itself, for the same reason.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Holder(Generic[T]):
    """The only one of what it holds. Who uses `held` keeps the holder, too."""

    __slots__ = ("__weakref__", "held")

    def __init__(self, held: T) -> None:
        self.held = held
