"""The interpreter and its libraries; counts are comparable only between identical ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import ssl
import sysconfig
from pathlib import Path


def described(valgrind: str, checkout: Path) -> dict[str, str]:
    """Everything that a count depends on, but Balance's source: `checkout` is asked whether, and how, it is compiled."""
    build = " ".join(str(sysconfig.get_config_var(name)) for name in ("CONFIG_ARGS", "CFLAGS", "LDFLAGS"))
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": f"{platform.python_compiler()}, {hashlib.sha256(build.encode()).hexdigest()[:12]}",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": valgrind,
        "openssl": ssl.OPENSSL_VERSION,
        **compiled(checkout),
        **{package: importlib.metadata.version(package) for package in ("uvloop", "httptools")},
    }


def compiled(checkout: Path) -> dict[str, str]:
    """By what a compiled copy was compiled, as cmd/build notes it there; empty for one that is pure Python."""
    if not any((checkout / "balance").rglob("*.so")):
        return {}
    note = checkout / "build" / "compiled-copy"
    level = note.read_text().partition(" ")[0] if note.is_file() else "?"
    return {"compiled": f"mypy {importlib.metadata.version('mypy')}, {level}"}
