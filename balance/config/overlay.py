"""Merges sections key by key, the nearer over the wider, and turns keys into fields of the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from balance.access_lists.access_lists import AccessLists, ListFile
from balance.access_lists.address_set import NOBODY, AddressSet
from balance.autoscaling.settings import AutoscalerConfig
from balance.config.model import ConnectionProtection, Retry, RetryBudget, Timeouts
from balance.config.schema.access_sections import AccessSection, Entries, Files
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


def access_lists_of(top: AccessSection | None, own: AccessSection | None, lists: Mapping[str, AddressSet]) -> AccessLists:
    """`lists` maps each file to its addresses. A listener's block lists are added to those at the top: who is dangerous is so
    everywhere. Its allow list stands instead of the one at the top, entries and files each.
    """
    sections = [section for section in (top, own) if section is not None]
    allowed: Entries | None = None
    allow_files: Files = []
    blocked: Entries = []
    block_files: Files = []
    for section in sections:
        given = section.given()
        allowed = given.get("ip_allowlist", allowed)
        allow_files = given.get("ip_allowlist_files", allow_files)
        if section.ip_blocklist is not None:
            blocked = [*blocked, *(section.ip_blocklist.blocked_ips or ()), *(section.ip_blocklist.blocked_cidrs or ())]
            block_files = [*block_files, *(section.ip_blocklist.files or ())]
    return AccessLists(
        AddressSet(allowed) if allowed else None,
        AddressSet(blocked) if blocked else None,
        tuple(ListFile(file, lists.get(file, NOBODY)) for file in dict.fromkeys(allow_files)),
        tuple(ListFile(file, lists.get(file, NOBODY)) for file in dict.fromkeys(block_files)),
    )


def protection_of(top: AccessSection | None, own: AccessSection | None) -> ConnectionProtection:
    """The connection guard of a listener: its own keys over those at the top, one by one."""
    given = overlay(top and top.connection_protection, own and own.connection_protection)
    return ConnectionProtection(**renamed(given, read_timeout="read_timeout_s", min_body_rate_grace="min_body_rate_grace_s"))


def autoscaler_of(top: Section | None, own: Section | None, folder: str) -> AutoscalerConfig:
    """The autoscaler of a pool. The path of a kubeconfig is taken from `folder`."""
    given = overlay(top, own)
    if "command" in given:
        given["command"] = tuple(given["command"])
    if "kubeconfig" in given:
        given["kubeconfig"] = os.path.join(folder, given["kubeconfig"])
    in_seconds = ("interval", "cooldown", "window", "timeout")
    return AutoscalerConfig(**renamed(given, **{name: f"{name}_s" for name in in_seconds}))
