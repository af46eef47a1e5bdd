"""The steps of a check. Every one runs, and any failure fails the whole.

Decides what they are and how long each may take; what passes is for the tools and pyproject.toml to say.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence

import setup_env
from child_process import run_group, say
from debian_packages import apt_install

BIN = setup_env.VENV / "bin"
STEPS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "floors": ["lint-imports"],
    "tests": ["pytest", "-n", "4", "--dist", "loadfile"],  # most of a drill's time is waiting, also on two cores
}
STEP_LIMIT_S = 300
# What the drills and the benchmarks drive, as program: package.
PROGRAMS = {"nginx": "nginx", "redis-server": "redis-server", "haproxy": "haproxy", "wrk": "wrk"}
NGINX_STREAM = "libnginx-mod-stream"
NGINX_STREAM_FILES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/share/nginx/modules/ngx_stream_module.so")


def check(pytest_arguments: Sequence[str]) -> int:
    if {"-h", "--help"} & set(pytest_arguments):
        print("usage: python3 cmd/check [PYTEST ARGUMENTS]\n\nInstalls what is missing, then runs: " + ", ".join(STEPS) + ".")
        return 0
    setup_env.prepare(extra="dev")
    # Debian keeps servers in sbin, which is not on every user's path.
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}
    see_to_programs(environ["PATH"])
    os.chdir(setup_env.ROOT)
    failed = []
    for step, command in STEPS.items():
        is_tests = step == "tests"
        arguments = pytest_arguments if is_tests else []
        began_s = time.monotonic()
        program = [str(BIN / command[0]), *command[1:], *arguments]
        status, output = run_group(program, environ, shown=is_tests, limit_s=STEP_LIMIT_S)
        print(output if status else "", end="")
        print(f"{step:8} {'ok' if status == 0 else 'FAILED':6} {time.monotonic() - began_s:6.1f} s", flush=True)
        if status != 0:
            failed.append(step)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def see_to_programs(path: str) -> None:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None]
    if "nginx" in missing or not any(map(os.path.exists, NGINX_STREAM_FILES)):
        missing.append(NGINX_STREAM)
    if missing and not apt_install(missing, why=f"not installed: {', '.join(missing)}"):
        say("going on without; what drives them (benchmarks, some drills) will fail and say so")
