"""The steps of a check. Every one runs, and any failure fails the whole.

Decides what they are and how long each may take; what passes is for the tools and pyproject.toml to say.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import setup_env
from child_process import await_group, end_group, fail, run_group, say, start_group
from debian_packages import apt_install


@dataclass(frozen=True)
class Step:
    """One command of the environment; `pytest_arguments` of the caller go to those that run pytest."""

    command: Sequence[str]
    limit_s: float = 300
    program: str = ""  # without which it is left out; in CI that is a failure
    is_shown: bool = False  # also when it passes

    @property
    def is_tests(self) -> bool:
        return self.command[0] == "pytest"


# Most of a drill's time is waiting, also on two cores; tests/conftest.py says in which order the files come.
TESTS = ["pytest", "-n", "6", "--dist", "loadfile", "--no-loadscope-reorder"]
COLLECTION = "collection"
STEPS = {
    "format": Step(["ruff", "format", "--check", "."]),
    "lint": Step(["ruff", "check", "."]),
    "types": Step(["mypy"]),
    "floors": Step(["lint-imports"]),
    "instructions": Step(["python", "benchmarks/instructions"], program="valgrind", is_shown=True),
    # It runs beside those above. It also compiles the tests, which each of pytest's workers would do again.
    COLLECTION: Step(["pytest", "--collect-only", "-qq", "-m", ""]),
    "tests": Step(TESTS, limit_s=480, is_shown=True),
}
# What takes minutes: run by `--long` and by CI. One of them may take ten minutes; two of them share a small machine.
LONG_STEPS = {
    "long": Step(["pytest", "-n", "4", "--dist", "worksteal", "-m", "long", "--timeout", "600"], limit_s=1500, is_shown=True)
}
# `--compiled` counts instructions, and runs those tests that can touch a compiled module at work: not what reads the tree, its
# documents and manifests, builds packages, judges counts, or looks at a page in a browser.
NOT_COMPILED = (
    "tests/benchmarks",
    "tests/dashboard",
    "tests/deployments",
    "tests/documents",
    "tests/kubernetes",
    "tests/monitoring",
    "tests/test_architecture.py",
    "tests/test_readme.py",
)
COMPILED_STEPS = (COLLECTION, "tests", "instructions")
# And of those tests that take minutes these: the same bytes have to mean the same, whatever somebody sends.
FUZZERS = "fuzzers"
FUZZER_STEP = Step(
    [
        "pytest",
        "-n",
        "4",
        "--dist",
        "worksteal",
        "-m",
        "long",
        "--timeout",
        "600",
        "tests/compiled",
        "tests/http1",
        "tests/attacks",
    ],
    limit_s=600,
    is_shown=True,
)
PYTEST_FOUND_NONE = 5
USAGE = "usage: python3 cmd/check [--compiled] [--long] [PYTEST ARGUMENTS]"
HELP = f"""{USAGE}

Installs what is missing, then runs: {", ".join(STEPS)}.
PYTEST ARGUMENTS choose the tests, as in `cmd/check tests/grpc`; the other steps run all the same. After the first time,
  `.venv/bin/pytest tests/grpc` runs tests alone.
--compiled: the tests, instructions and the long fuzzers and attacks alone, of a compiled copy of the tree, which is kept and,
  when its sources change, compiled again; without tests marked `pure` and those that touch nothing compiled.
--long: also the tests marked `long`."""
# What the drills, the benchmarks and the battery of real peers drive, as program: package.
PROGRAMS = {
    "apache2": "apache2-bin",
    "chromium": "chromium",
    "curl": "curl",
    "dnsmasq": "dnsmasq-base",
    "go": "golang-go",
    "goaccess": "goaccess",
    "h2load": "nghttp2-client",
    "haproxy": "haproxy",
    "initdb": "postgresql",
    "jq": "jq",
    "logrotate": "logrotate",
    "named": "bind9",
    "nc.openbsd": "netcat-openbsd",
    "nghttpd": "nghttp2-server",
    "nginx": "nginx",
    "node": "nodejs",
    "npm": "npm",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "redis-server": "redis-server",
    "rsyslogd": "rsyslog",
    "unbound": "unbound",
    "valgrind": "valgrind",
    "wget": "wget",
    "wrk": "wrk",
}
NODE_PACKAGES = {"@grpc/grpc-js": "1.14.7"}  # what has no package of Debian
POSTGRESQL = "/usr/lib/postgresql/*/bin"  # where Debian keeps its server, on nobody's path
NGINX_STREAM = "libnginx-mod-stream"
NGINX_STREAM_FILES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/share/nginx/modules/ngx_stream_module.so")


def check(arguments: Sequence[str]) -> int:
    """Run every step; `arguments` other than ours are pytest's."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    pytest_arguments = [argument for argument in arguments if argument not in ("--compiled", "--long")]
    steps = {**STEPS, **LONG_STEPS} if "--long" in arguments else STEPS
    setup_env.prepare(extra="dev")
    root, commands = setup_env.ROOT, setup_env.VENV / "bin"
    if "--compiled" in arguments:
        steps = {name: step for name, step in steps.items() if name in (*COMPILED_STEPS, *LONG_STEPS)}
        if "long" not in steps:
            steps[FUZZERS] = FUZZER_STEP
        pytest_arguments += [f"--ignore={name}" for name in NOT_COMPILED]
        root, commands = compiled_copy()
    # Debian keeps servers in sbin, which is not on every user's path.
    environ = {**os.environ, "PATH": f"{commands}:{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}
    # The tests start hundreds of interpreters: each would compile the package anew.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if root != setup_env.ROOT:
        environ.pop("PYTHONPATH", None)  # which would decide whose modules are tested
    see_to_programs(environ["PATH"])
    environ["NODE_PATH"] = see_to_node_packages(environ["PATH"])
    os.chdir(root)
    collecting = start_group(program_of(STEPS[COLLECTION], pytest_arguments, commands), environ)
    try:
        failed = [
            name for name, step in steps.items() if not passes(name, step, pytest_arguments, commands, environ, collecting)
        ]
    finally:
        if collecting.poll() is None:
            end_group(collecting)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def compiled_copy() -> tuple[Path, Path]:
    """It, and where its commands are. Others' users may read it: some tests change to one."""
    sys.path.insert(0, str(setup_env.ROOT / "cmd" / "build"))
    import command

    name = hashlib.sha256(str(setup_env.ROOT).encode()).hexdigest()[:12]
    copy = Path(tempfile.gettempdir(), f"balance-compiled-{os.geteuid()}-{name}")
    copy.mkdir(mode=0o755, exist_ok=True)
    if copy.is_symlink() or copy.stat().st_uid != os.geteuid():
        fail(f"{copy} is somebody else's")
    return copy, command.into(copy, "3").parent


def program_of(step: Step, pytest_arguments: Sequence[str], commands: Path) -> list[str]:
    return [str(commands / step.command[0]), *step.command[1:], *(pytest_arguments if step.is_tests else [])]


def passes(
    name: str,
    step: Step,
    pytest_arguments: Sequence[str],
    commands: Path,
    environ: Mapping[str, str],
    collecting: subprocess.Popen[str],
) -> bool:
    began_s = time.monotonic()
    if step.program and shutil.which(step.program, path=environ["PATH"]) is None:
        print(f"{name:12} left out: {step.program} is not installed", flush=True)
        return not environ.get("CI")
    if name == COLLECTION:
        status, output = await_group(collecting, step.limit_s)
    else:
        program = program_of(step, pytest_arguments, commands)
        status, output = run_group(program, environ, shown=step.is_shown, limit_s=step.limit_s)
    if name in (COLLECTION, FUZZERS, *LONG_STEPS) and pytest_arguments and status == PYTEST_FOUND_NONE:
        status = 0  # no long test among those that were asked for
    print(output if status else "", end="")
    print(f"{name:12} {'ok' if status == 0 else 'FAILED':6} {time.monotonic() - began_s:6.1f} s", flush=True)
    return status == 0


def see_to_programs(path: str) -> None:
    path = ":".join((path, *glob(POSTGRESQL)))
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None]
    if "nginx" in missing or not any(map(os.path.exists, NGINX_STREAM_FILES)):
        missing.append(NGINX_STREAM)
    if missing and not apt_install(missing, why=f"not installed: {', '.join(missing)}"):
        say("going on without; what drives them (benchmarks, some drills) fails or is left out, and says so")


def see_to_node_packages(path: str) -> str:
    """Where they are: for NODE_PATH."""
    folder = setup_env.ROOT / "build" / "node"
    modules = folder / "node_modules"
    missing = [f"{name}@{version}" for name, version in NODE_PACKAGES.items() if not (modules / name).is_dir()]
    npm = shutil.which("npm", path=path)
    if missing and npm is not None:
        say(f"installing {', '.join(missing)} into {modules} ...")
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        status, output = run_group([npm, "install", *options, *missing], os.environ)
        if status:
            say(f"{output.rstrip()}\nnpm could not install them; tests of them are left out, and say so")
    return str(modules)
