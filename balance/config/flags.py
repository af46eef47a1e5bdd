"""A configuration without a file: flags become the same document that a file would, and go the same way from there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from balance.config.loading import Loaded, check
from balance.config.reading.document import Document, Path
from balance.config.reading.environment import OVERRIDES, override
from balance.config.source import COMMAND_LINE
from balance.errors import Problem

DEFAULT_LISTEN = ":8080"


def from_flags(**flags: Any) -> Loaded:
    """Check what flags say; document_from_flags() has their names."""
    return check(*document_from_flags(**flags))


def document_from_flags(
    *,
    listen: Sequence[str] = (),
    port: int | None = None,
    backends: Sequence[str] = (),
    mode: str | None = None,
    algorithm: str | None = None,
    workers: str | int | None = None,
    health_path: str | None = None,
    health_interval: str | None = None,
    health_timeout: str | None = None,
    backend_timeout: str | None = None,
    admin: str | None = None,
    log_level: str | None = None,
    env: Mapping[str, str] | None = None,
) -> tuple[Document, list[Problem]]:
    """What flags say, as a file would.

    Each of `backends` is an address or several with commas; a bare number of a time is seconds.
    A flag wins over the variable for the same thing. Any health flag switches health checks on.
    """
    document = Document(COMMAND_LINE)
    addresses = [part.strip() for text in backends for part in text.split(",") if part.strip()]
    values: list[tuple[str, Path, Any]] = [
        ("--backend", ("backends",), [{"address": address} for address in addresses] or None),
        ("--listen" if listen else "--port", ("listen",), [*listen, *([] if port is None else [f":{port}"])] or None),
        ("--mode", ("mode",), mode),
        ("--algorithm", ("load_balancer", "algorithm"), algorithm),
        ("--workers", ("workers",), _number(workers)),
        ("--health-path", ("health_check", "path"), health_path),
        ("--health-interval", ("health_check", "interval"), _number(health_interval)),
        ("--health-timeout", ("health_check", "timeout"), _number(health_timeout)),
        ("--backend-timeout", ("timeouts", "read"), _number(backend_timeout)),
        ("--admin", ("admin", "listen"), admin),
        ("--log-level", ("logging", "level"), log_level),
    ]
    for flag, path, value in values:
        if value is not None:
            document.put(path, value, flag)
    env = os.environ if env is None else env
    untouched = {variable: env[variable] for variable, path in OVERRIDES.items() if variable in env and not document.has(path)}
    problems = override(document, untouched)
    if document.has(("health_check",)):
        document.put(("health_check", "enabled"), True, "--health-interval")
        if health_path is not None or document.data.get("mode") != "tcp":
            document.put(("health_check", "type"), "http", "--health-path")
    if not document.has(("listen",)):
        document.put(("listen",), DEFAULT_LISTEN, "--listen")
    return document, problems


def _number(text: str | int | None) -> str | int | None:
    """A whole number as a file would have it."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else text
