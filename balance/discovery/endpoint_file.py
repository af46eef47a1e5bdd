"""The file of `discovery.file`: YAML or JSON with a list of addresses or of backends, or a mapping of such lists by pool.

    - 10.0.0.1:8080                                or     web:
    - {address: "10.0.0.2:8080", weight: 3}                 - 10.0.0.1:8080

A file without anything in it is not a list without anybody: somebody is still writing it, or has failed to. Only `[]` says that
there is nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from balance.discovery.answer import Answer, Report, SourceFailure
from balance.discovery.endpoint import Endpoint, checked_address, checked_name, checked_weight

MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # 10,000 endpoints with all their keys take half
KEYS: Final = ("address", "name", "weight", "max_connections", "backup", "region", "draining", "metadata")
_NOTHING: Final = frozenset(["", "~", "null"])
MOST: Final = 1_000_000_000


class Mark(Protocol):
    """A place in the file, from 1."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class Node(Protocol):
    """A part of the file, as the reader of YAML gives it: one of a text, a list and a mapping."""

    @property
    def mark(self) -> Mark: ...
    @property
    def text(self) -> str: ...
    @property
    def plain(self) -> bool: ...  # without quotes
    @property
    def items(self) -> Sequence[Any] | None: ...
    @property
    def pairs(self) -> Sequence[tuple[Any, Any]] | None: ...


class _WrongError(Exception):
    def __init__(self, node: Node, words: str) -> None:
        super().__init__(words)
        self.node = node


def endpoints_in(root: Node | None, pool: str, path: str) -> Report:
    """What the file says of a pool. `path` is its name in what is wrong."""
    try:
        return _endpoints(root, pool, path)
    except _WrongError as error:
        mark = error.node.mark
        return SourceFailure(f"{path}:{mark.line}:{mark.column}: {error}")


def _endpoints(root: Node | None, pool: str, path: str) -> Report:
    if root is None:
        return SourceFailure(f"{path}: is empty; write [] when there is nobody")
    listed = root
    if root.pairs is not None:
        pools: dict[str, Node] = {}
        for key, value in root.pairs:
            if key.text in pools:
                raise _WrongError(key, f"{key.text[:40]} is given twice")
            pools[key.text] = value
        if pool not in pools:
            known = ", ".join(pools)[:200] or "none"
            return SourceFailure(f"{path}: has no pool {pool!r}; it has {known}")
        listed = pools[pool]
    if listed.items is None:
        if listed.pairs is None and listed.plain and listed.text in _NOTHING:
            raise _WrongError(listed, "is empty; write [] when there is nobody")
        raise _WrongError(listed, "is no list of addresses or of backends")
    return Answer(tuple(_endpoint(each) for each in listed.items))


def _endpoint(item: Node) -> Endpoint:
    if item.pairs is not None:
        return _backend(item)
    if item.items is not None:
        raise _WrongError(item, 'a list stands where a backend belongs; write an address, or {address: "10.0.0.1:80"}')
    try:
        return Endpoint(checked_address(item.text))
    except ValueError as error:
        raise _WrongError(item, str(error)) from None


def _backend(item: Node) -> Endpoint:
    given: dict[str, Node] = {}
    for key, value in item.pairs or ():
        if key.text not in KEYS:
            raise _WrongError(key, f"unknown key {key.text[:40]!r}; a backend here may have {', '.join(KEYS)}")
        if key.text in given:
            raise _WrongError(key, f"{key.text} is given twice")
        given[key.text] = value
    if "address" not in given:
        raise _WrongError(item, "a backend without an address")
    for key, node in given.items():
        if key != "metadata" and (node.items is not None or node.pairs is not None):
            raise _WrongError(node, f"{key} is a single value")
    found: dict[str, Any] = {}
    for key, node in given.items():
        try:
            found[key] = _value(key, node)
        except ValueError as error:
            raise _WrongError(node, str(error)) from None
    return Endpoint(**found)


def _value(key: str, node: Node) -> object:
    match key:
        case "address":
            return checked_address(node.text)
        case "name":
            return checked_name(node.text)
        case "region":
            return checked_name(node.text) if node.text else ""
        case "weight":
            return checked_weight(_number(key, node.text))
        case "max_connections":
            return _number(key, node.text)
        case "backup" | "draining":
            if node.text not in ("true", "false"):
                raise ValueError(f"{key} is true or false")
            return node.text == "true"
        case _:
            if node.pairs is None or any(value.items is not None or value.pairs is not None for _, value in node.pairs):
                raise ValueError("metadata has texts by their names")
            return tuple((name.text, value.text) for name, value in node.pairs)


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= MOST):
        raise ValueError(f"{key} is a number from 0 on")
    return int(text)
