"""How this program runs: compiled or as pure Python, and on which interpreter."""

from __future__ import annotations

import platform
import sysconfig
from typing import NamedTuple

from balance import load


class Interpreter(NamedTuple):
    """`has_pgo` and `has_lto` are None where the interpreter does not tell how it was built."""

    is_compiled: bool
    implementation: str
    version: str
    has_pgo: bool | None
    has_lto: bool | None

    @classmethod
    def here(cls) -> Interpreter:
        """Of this process."""
        options = sysconfig.get_config_var("CONFIG_ARGS")
        if "deb_system" in sysconfig.get_scheme_names():
            # Debian and Ubuntu build with both (debian/rules), by make targets that these options don't show.
            options = "--enable-optimizations --with-lto"
        is_known = isinstance(options, str)
        return cls(
            # A compiled module in place of any source; a build compiles all that are for it, or none.
            not (load.__file__ or "").endswith((".py", ".pyc")),
            platform.python_implementation(),
            platform.python_version(),
            "--enable-optimizations" in options if is_known else None,
            "--with-lto" in options if is_known else None,
        )

    @property
    def build(self) -> str:
        """In words: `with PGO and LTO`, `with PGO, without LTO`, `without PGO and LTO`, or nothing."""
        if self.has_pgo is None or self.has_lto is None:
            return ""
        if self.has_pgo == self.has_lto:
            return f"with{'' if self.has_pgo else 'out'} PGO and LTO"
        return "with PGO, without LTO" if self.has_pgo else "with LTO, without PGO"

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "implementation": self.implementation,
            "version": self.version,
            "pgo": self.has_pgo,
            "lto": self.has_lto,
        }

    def __str__(self) -> str:
        """In a line: `compiled, CPython 3.13.5 with PGO and LTO`, `pure Python, CPython 3.11.7 without PGO and LTO`."""
        kind = "compiled" if self.is_compiled else "pure Python"
        return f"{kind}, {self.implementation} {self.version} {self.build}".rstrip()
