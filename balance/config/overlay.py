"""Merges sections key by key, the nearer over the wider, and turns keys into fields of the model."""

from __future__ import annotations

from typing import Any

from balance.config.model import Retry, RetryBudget, Timeouts
from balance.config.schema.section import Section


def overlay(*layers: Section | None) -> dict[str, Any]:
    """The given keys merged section by section; a later layer overrides an earlier one."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer is None:
            continue
        for name, value in layer.given().items():
            if isinstance(value, Section):
                merged[name] = merged.get(name, {}) | overlay(value)
            else:
                merged[name] = value
    return merged


def renamed(given: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in given.items()}


def picked(given: dict[str, Any], **names: str) -> dict[str, Any]:
    return {new: given[old] for old, new in names.items() if old in given}


def retry_of(given: dict[str, Any]) -> Retry:
    if "on" in given:
        given["on"] = tuple(dict.fromkeys(given["on"]))
    if "budget" in given:
        given["budget"] = RetryBudget(**given["budget"])
    in_seconds = ("backoff_base", "backoff_max", "per_try_timeout")
    return Retry(**renamed(given, **{name: f"{name}_s" for name in in_seconds}))


def timeouts_of(*layers: Section | None) -> Timeouts:
    return Timeouts(**{f"{name}_s": seconds for name, seconds in overlay(*layers).items() if name != "drain"})
