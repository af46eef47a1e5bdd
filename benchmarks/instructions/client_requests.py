"""Words to callgrind from the program that it runs (valgrind's client requests), on x86-64 and without a compiler.

A request is a sequence of instructions that does nothing and that valgrind, which translates every one, takes for a call: see
"The Client Request mechanism" in its manual and the macros of valgrind.h.
"""

from __future__ import annotations

import ctypes
import mmap
import platform

_CODE = (
    b"\x48\x89\xf8"  # mov rax, rdi: where the request and its arguments are
    b"\x31\xd2"  # xor edx, edx: the answer of a machine without valgrind
    b"\x48\xc1\xc7\x03\x48\xc1\xc7\x0d\x48\xc1\xc7\x3d\x48\xc1\xc7\x33"  # rol rdi by 3, 13, 61, 51: by nothing in all
    b"\x48\x87\xdb"  # xchg rbx, rbx
    b"\x48\x89\xd0\xc3"  # mov rax, rdx; ret
)
_IS_RUN_BY_VALGRIND = 0x1001
_CALLGRIND = ord("C") << 24 | ord("T") << 16
_DUMP_STATS, _ZERO_STATS, _TOGGLE_COLLECT, _START_INSTRUMENTATION = (_CALLGRIND + number for number in (0, 1, 2, 4))
MACHINES = ("x86_64",)


class Callgrind:
    """Speaks to the callgrind that runs us."""

    def __init__(self) -> None:
        if platform.machine() not in MACHINES:
            raise RuntimeError(f"{platform.machine()} is not one of {', '.join(MACHINES)}")
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(address)
        if not self._request(_IS_RUN_BY_VALGRIND):
            raise RuntimeError("valgrind does not run this")

    def start(self) -> None:
        """Count from now on; until here the program ran as fast as valgrind can."""
        self._request(_START_INSTRUMENTATION)

    def zero(self) -> None:
        self._request(_ZERO_STATS)

    def toggle(self) -> None:
        """Count nothing until it is called again."""
        self._request(_TOGGLE_COLLECT)

    def dump(self) -> None:
        """Write what was counted since zero() or the dump before to a file of its own."""
        self._request(_DUMP_STATS)

    def _request(self, number: int) -> int:
        words = (ctypes.c_ulong * 6)(number)
        return int(self._call(ctypes.addressof(words)))
