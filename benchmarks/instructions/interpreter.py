"""The interpreter and its libraries; counts are comparable only between identical ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sysconfig


def described(valgrind: str) -> dict[str, str]:
    """Everything that a count depends on, but Balance."""
    build = " ".join(str(sysconfig.get_config_var(name)) for name in ("CONFIG_ARGS", "CFLAGS", "LDFLAGS"))
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": f"{platform.python_compiler()}, {hashlib.sha256(build.encode()).hexdigest()[:12]}",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": valgrind,
        **{package: importlib.metadata.version(package) for package in ("uvloop", "httptools")},
    }
