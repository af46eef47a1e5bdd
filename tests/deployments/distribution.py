"""Makes packages of the tracked files, in environments of their own, and runs what was installed from them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dockerfile import ROOT
from instance_process import Origin, until
from server_processes import free_port

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str | Path, **options: object) -> str:
    """What it says on stdout; it has to succeed."""
    options = {"env": CLEAN, "timeout": 300} | options
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def environment(folder: Path, *wanted: str | Path) -> Path:
    """A new one with these packages; its Python. Nothing is compiled that is not imported."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", "--only-binary", ":all:", *wanted)
    return python


def tracked_sources(folder: Path) -> Path:
    """A folder with the files that packages are made from."""
    sources = folder / "sources"
    for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/", "docs/")):
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, sources / name)
    return sources


def serve_a_request(commands: Path, folder: Path) -> None:
    """The instance of the commands starts, serves, answers operators and ends."""
    origin = Origin("here")
    port, admin = free_port(), free_port()
    config = folder / "balance.json"
    document = {"listen": f"127.0.0.1:{port}", "backends": [{"name": "a", "address": origin.address}], "workers": 1}
    config.write_text(json.dumps(document | {"admin": {"listen": f"127.0.0.1:{admin}"}, "shutdown": {"delay": "0s"}}))
    command = [commands / "balance", "serve", "--config", config]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, stderr=log, env=CLEAN, cwd=folder)
    try:
        until(lambda: "supervisor: ready" in (folder / "log").read_text(), lambda: (folder / "log").read_text())
        assert run("curl", "-s", f"http://127.0.0.1:{port}/") == "here"
        assert "<title>" in run("curl", "-s", f"http://127.0.0.1:{admin}/")  # the dashboard's files came along
        assert run(commands / "balance", "healthcheck", "--admin", f"127.0.0.1:{admin}") == "healthy\n"
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        origin.stop()
        log.close()
