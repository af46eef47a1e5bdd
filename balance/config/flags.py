"""A configuration from command-line flags: builds the document that an equivalent file would give."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from balance.config.loading import Loaded, check
from balance.config.reading.document import COMMAND_LINE, Document, Path
from balance.config.reading.environment import OVERRIDES, override
from balance.errors import Problem

DEFAULT_LISTEN = ":8080"


def from_flags(**flags: Any) -> Loaded:
    """The checked configuration of these flags; document_from_flags() has their names. ConfigError has every problem."""
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
    """The document that an equivalent file would give, and the problems found on the way.

    Each of `backends` is an address or several separated by commas; a bare number for a duration is seconds.
    A flag overrides the environment variable for the same key. Any --health-* flag enables health checks.
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
    not_set = {variable: env[variable] for variable, path in OVERRIDES.items() if variable in env and not document.has(path)}
    problems = override(document, not_set)
    if document.has(("health_check",)):
        document.put(("health_check", "enabled"), True, "--health-interval")
        if health_path is not None or document.data.get("mode") != "tcp":
            document.put(("health_check", "type"), "http", "--health-path")
    if not document.has(("listen",)):
        document.put(("listen",), DEFAULT_LISTEN, "--listen")
    return document, problems


def _number(text: str | int | None) -> str | int | None:
    """An int when the text is a whole number, as YAML would read it."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else text
