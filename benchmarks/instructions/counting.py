"""Runs valgrind over the scenarios of a checkout and parses its output."""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from instructions.verdict import per_time

CHILD = Path(__file__).parent / "child.py"
_SUMMARY = re.compile(r"^summary: ([0-9]+)$", re.MULTILINE)
TIMES = 100
LIMIT_S = 280
# Nothing of the caller's: where objects lie in memory depends on it, and on that which of CPython's caches collide. The C
# library's own choice of memcpy() depends on the processor; all of them have this one. So does OpenSSL's of its ciphers: AES-NI
# and no vectors beyond SSE, of extensions that came later none.
ENVIRON = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "OPENSSL_ia32cap": "~0x1000000000000000:0x0",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-AVX512F,-AVX512VL",
}


class CountingFailedError(Exception):
    """Says what happened."""


def valgrind_version() -> str:
    """Empty where there is none."""
    if shutil.which("valgrind") is None:
        return ""
    output = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=False).stdout
    return output.strip().removeprefix("valgrind-")


def count(checkout: Path, scenarios: Sequence[str]) -> dict[str, int]:
    """Instructions for one of each, in the package of `checkout`."""
    compileall.compile_dir(
        checkout / "balance", quiet=2
    )  # compiling would be the first run's alone, and would move what follows
    compileall.compile_dir(CHILD.parent.parent, quiet=2)
    with tempfile.TemporaryDirectory(prefix="balance-instructions-") as folder:
        tool = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out.%p"]
        command = [*tool, sys.executable, str(CHILD), str(checkout), str(TIMES), *scenarios]
        try:
            run = subprocess.run(command, cwd=folder, env=ENVIRON, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise CountingFailedError(f"not done within {LIMIT_S} s") from None
        if run.returncode != 0:
            raise CountingFailedError(f"{run.stdout}{run.stderr}")
        counts = {}
        for line in run.stdout.splitlines():
            process, number = line.split()
            once, twice = (_summary(Path(folder, f"out.{process}.{part}")) for part in (1, 2))
            counts[scenarios[int(number)]] = per_time(once, twice, TIMES)
        return {scenario: counts[scenario] for scenario in scenarios if scenario in counts}


def _summary(file: Path) -> int:
    found = _SUMMARY.search(file.read_text())
    if found is None:
        raise CountingFailedError(f"valgrind wrote no summary to {file.name}")
    return int(found[1])
