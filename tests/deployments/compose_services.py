"""The services of compose.yaml as processes of this machine, in a network of their own, from the files that Compose mounts.

One namespace has them all: each name is a loopback address there, each file lies where the service looks for it. What differs
from Compose: three nginx can't have one port of one machine, so each listens at its own address.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from instance_process import until
from scratch_root import INTERPRETER
from server_processes import ServerProcesses, program

FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "docker"
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
ADDRESS_OF = {name: f"127.0.1.{number}" for number, name in enumerate(SERVICES, 1)}
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")

# The namespace: lo is up, /etc is a copy that may be changed, and it lives as long as its standard input is open.
HOLD = """
import ctypes, fcntl, json, os, socket, struct, sys
told = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags, data=None):
    if libc.mount(source.encode(), target.encode(), kind, flags, data):
        raise OSError(ctypes.get_errno(), f"mount {source} {target}")
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up
mount("none", "/", None, 0x44000)
upper = told["upper"]
mount("tmpfs", upper, b"tmpfs", 0)
for name in ("changed", "work"):
    os.mkdir(upper + "/" + name)
options = f"lowerdir=/etc,upperdir={upper}/changed,workdir={upper}/work"
mount("overlay", "/etc", b"overlay", 0, options.encode())
with open("/etc/hosts", "w") as hosts:
    hosts.write("127.0.0.1 localhost\\n" + "".join(f"{address} {name}\\n" for name, address in told["hosts"].items()))
with open("/etc/nsswitch.conf", "w") as switch:
    switch.write("hosts: files\\npasswd: files\\ngroup: files\\n")
for source, target in told["volumes"]:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    mount(source, target, None, 0x1000)
    mount("none", target, None, 0x1021)
print("ready", flush=True)
sys.stdin.read()
"""


def interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """With the variables that Compose puts in. KeyError: the message of ${NAME:?message}."""
    if isinstance(value, dict):
        return {key: interpolated(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, env) for each in value]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        if env.get(name):
            return env[name]
        if kind == "?":
            raise KeyError(text)
        return text or ""

    return _VARIABLE.sub(found, value)


def mounts(service: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(source, target, mode) of its volumes, those that have a name included."""
    return [(*each.split(":"), "")[:3] for each in service.get("volumes", ())]  # type: ignore[misc]


def files_of(service: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Those that come from this folder, with where they are seen."""
    return [(FOLDER / source, target) for source, target, _ in mounts(service) if source.startswith(".")]


class ComposeServices:
    """They start one by one; what each says is in NAME.log of the folder."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder, self.processes = folder, ServerProcesses(folder)
        self.services: dict[str, dict[str, Any]] = interpolated(SERVICES, env)
        upper = folder / "etc"
        upper.mkdir()
        wanted = [(str(source.resolve()), target) for name in ("balance", "backend-1", "prometheus")
                  for source, target in files_of(self.services[name])]  # fmt: skip
        told = {"upper": str(upper), "hosts": ADDRESS_OF, "volumes": wanted}
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", str(INTERPRETER), "-I", "-S", "-c", HOLD, json.dumps(told)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n"

    def within(self, command: Sequence[str], uid: int = 0) -> list[str]:
        """A command, in the namespace."""
        user = ["-S", str(uid), "-G", str(uid)] if uid else []
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", *user, *command]

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end there."""
        env = {**os.environ, **environ}
        return subprocess.run(self.within(command), capture_output=True, text=True, timeout=60, env=env)

    def start_backend(self, name: str) -> None:
        """nginx, by the file that Compose mounts, at an address of its own."""
        own = self.folder / name
        own.mkdir()
        text = Path(SERVICES[name]["volumes"][0].partition(":")[0])
        changed = (FOLDER / text).read_text().replace("listen 8000;", f"listen {ADDRESS_OF[name]}:8000;")
        (own / "nginx.conf").write_text(changed.replace("/tmp/", f"{own}/").replace("$hostname", name))
        for folder in (own, self.folder):
            folder.chmod(0o777)
        nginx, *options = SERVICES[name]["entrypoint"]
        uid = int(SERVICES[name]["user"].partition(":")[0])
        command = [program(nginx), "-p", str(own), "-e", str(own / "error.log"), "-c", str(own / "nginx.conf"), *options]
        self.processes.start(name, self.within(command, uid))

    def start_redis(self) -> None:
        name, *options = self.services["redis"]["command"]
        self.processes.start("redis", self.within([program(name), *options, "--dir", str(self.folder)]))

    def start_prometheus(self) -> None:
        options = [each.replace("=/prometheus", f"={self.folder}/data") for each in self.services["prometheus"]["command"]]
        self.processes.start("prometheus", self.within([program("prometheus"), *options]))

    def start_balance(self) -> None:
        environ = {**self.services["balance"]["environment"], "BALANCE_CONFIG": "/etc/balance/config.yaml"}
        self.processes.start("balance", self.within([sys.executable, "-m", "balance", "serve"]), **environ)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def check(self, name: str) -> int:
        """The health check of a service, as Compose runs it; as the namespaces are one, at the address of the service."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        if name.startswith("backend"):
            command = [each.replace("127.0.0.1", ADDRESS_OF[name]) for each in command]
        if command[0] == "balance":
            command = [sys.executable, "-m", *command]
        return self.run(*command, BALANCE_CONFIG="/etc/balance/config.yaml").returncode

    def wait_until_healthy(self, name: str) -> None:
        until(lambda: self.check(name) == 0, lambda: self.log(name))

    def ask(self, url: str, *options: str) -> tuple[int, str]:
        """Status and body."""
        done = self.run("curl", "-s", "-m", "10", "-w", "\n%{http_code}", *options, url)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def stop(self) -> None:
        self.processes.stop()
        self.holder.kill()
        self.holder.wait()
