"""How the program says that it runs."""

from __future__ import annotations

import platform
import sysconfig

import pytest

from balance.interpreter import Interpreter


def test_it_says_what_this_one_is() -> None:
    here = Interpreter.here()
    assert (here.implementation, here.version) == (platform.python_implementation(), platform.python_version())
    assert here.document() == {
        "implementation": here.implementation,
        "version": here.version,
        "pgo": here.has_pgo,
        "lto": here.has_lto,
    }


@pytest.mark.parametrize(
    ("is_compiled", "has_pgo", "has_lto", "said"),
    [
        (False, False, False, "pure Python, CPython 3.13.5 without PGO and LTO"),
        (True, True, True, "compiled, CPython 3.13.5 with PGO and LTO"),
        (True, True, False, "compiled, CPython 3.13.5 with PGO, without LTO"),
        (True, False, True, "compiled, CPython 3.13.5 with LTO, without PGO"),
        (False, None, None, "pure Python, CPython 3.13.5"),
    ],
)
def test_in_words(is_compiled: bool, has_pgo: bool | None, has_lto: bool | None, said: str) -> None:
    assert str(Interpreter(is_compiled, "CPython", "3.13.5", has_pgo, has_lto)) == said


@pytest.mark.parametrize(
    ("options", "schemes", "found"),
    [
        ("'--prefix=/usr/local' '--enable-optimizations' '--with-lto'", ("posix_prefix",), (True, True)),
        ("'--prefix=/usr/local'", ("posix_prefix",), (False, False)),
        (None, ("posix_prefix",), (None, None)),  # PyPy, and CPython of Windows
        ("'--prefix=/usr'", ("deb_system", "posix_prefix"), (True, True)),  # its options don't say so
    ],
)
def test_how_the_interpreter_was_built(
    monkeypatch: pytest.MonkeyPatch, options: str | None, schemes: tuple[str, ...], found: tuple[bool | None, bool | None]
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": options}.get)
    monkeypatch.setattr(sysconfig, "get_scheme_names", lambda: schemes)
    here = Interpreter.here()
    assert (here.has_pgo, here.has_lto) == found
