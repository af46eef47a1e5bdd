"""One worker's row of the board, with a method for each thing that is counted together: `Row`.

pure_row.py is the definition. native_row.c writes the same cells without a Python object for each; it is there in a compiled
build only, and taken where it is. The layout of both: runtime.counters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.runtime import counters

__all__ = ("IS_NATIVE", "Row")

if TYPE_CHECKING:
    from balance.runtime.row.pure_row import Row

    IS_NATIVE: Final = False
else:
    try:
        import balance.runtime.row.native_row as native_row
    except ModuleNotFoundError:
        from balance.runtime.row.pure_row import Row

        IS_NATIVE = False
    else:
        _other = [name for name, value in native_row.LAYOUT.items() if getattr(counters, name) != value]
        if _other:
            raise ImportError(f"{native_row.__file__} was built for another layout of the board: {', '.join(_other)}")
        Row = native_row.Row
        IS_NATIVE = True
