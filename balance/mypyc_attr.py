"""mypyc's `mypyc_attr`, with which a class says what its compiled form allows: subclasses in Python, as tests have them.

Compilers read it in the source. At run time it does nothing, and the package that it is from need not be installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

_Class = TypeVar("_Class", bound=type)

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**allowed: bool) -> Callable[[_Class], _Class]:
        return lambda marked: marked
