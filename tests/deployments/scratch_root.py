"""What the Dockerfile's steps make, without Docker: a folder for each stage, over a base of files of this machine.

The base is like python:slim: an interpreter below /usr/local, a shell, the core utilities and the libraries that they name.
What a step or the program needs besides has to come from a step. A container of it has namespaces of its own for processes,
mounts and the network, and no capability.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from dockerfile import Ignored, Stage, substituted

TOOLS = ("sh", "cat", "chmod", "cp", "env", "id", "ls", "mkdir", "rm", "sleep", "touch")
# Of the base image besides: libc6 whole, and what apt itself needs.
LIBRARIES = {
    "libanl.so.1", "libdl.so.2", "libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libpthread.so.0", "libresolv.so.2",
    "librt.so.1", "libstdc++.so.6", "libutil.so.1",
}  # fmt: skip
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
RESOLVING = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
INTERPRETER = Path(os.path.realpath(sys.executable))
PREFIX = Path(sys.base_prefix)

# In namespaces of its own, process 1: mounts what a container has, gives up what a container has not, and becomes the program.
ENTER = """
import ctypes, fcntl, json, os, socket, struct, sys, warnings
told = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags, data=None):
    if libc.mount(source.encode(), target.encode(), kind, flags, data):
        raise OSError(ctypes.get_errno(), f"mount {source} {target}")
REC_PRIVATE, BIND, READ_ONLY = 0x44000, 0x1000, 0x1021
root = told["root"]
mount("none", "/", None, REC_PRIVATE)
mount(root, root, None, BIND)
mount(told["prefix"], root + "/usr/local", None, BIND)
mount("none", root + "/usr/local", None, READ_ONLY)
mount("proc", root + "/proc", b"proc", 0)
for name in ("null", "zero", "random", "urandom"):
    mount("/dev/" + name, root + "/dev/" + name, None, BIND)
if told["read_only"]:
    mount("none", root, None, READ_ONLY)
for source, target in told["volumes"]:
    mount(source, root + target, None, BIND)
    mount("none", root + target, None, READ_ONLY)
for target in told["tmpfs"]:
    mount("tmpfs", root + target, b"tmpfs", 6, b"size=64m,mode=1777")
if told["own_network"]:
    with socket.socket() as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up
os.chroot(root)
os.chdir(told["folder"])
for number in range(64):
    libc.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP, as cap_drop: [ALL]
if told["uid"]:
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    os.setgroups([])
    os.setresgid(told["gid"], told["gid"], told["gid"])
    os.setresuid(told["uid"], told["uid"], told["uid"])
os.execvpe(told["command"][0], told["command"], told["environ"])
"""


def need_namespaces() -> None:
    """Skips the test where none can be made: they are root's, and a container's root may lack them."""
    question = ["unshare", "--mount", "--pid", "--net", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    if os.geteuid() != 0 or subprocess.run(question, capture_output=True).returncode != 0:
        pytest.skip("namespaces and other users are for root, where the kernel lets him")


def base(folder: Path) -> Path:
    """A root like the one of python:slim, but for /usr/local."""
    for name in ("dev/shm", "etc", "proc", "root", "run", "tmp", "usr/bin", "usr/lib", "usr/lib64", "usr/local", "var/tmp"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("tmp", "var/tmp", "dev/shm"):
        (folder / name).chmod(0o1777)
    for name in ("null", "zero", "random", "urandom"):
        (folder / "dev" / name).touch()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (folder / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n")
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    tools = [Path(os.path.realpath(shutil.which(name) or name)) for name in TOOLS]
    for name, tool in zip(TOOLS, tools, strict=True):
        shutil.copy(tool, folder / "usr/bin" / name)
    extensions = sorted((PREFIX / "lib").glob("python3*/lib-dynload/*.so"))
    said = subprocess.run(["ldd", *tools, INTERPRETER, *extensions], capture_output=True, text=True).stdout
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    said += "".join(line for line in cache.splitlines(keepends=True) if line.split()[:1] and line.split()[0] in LIBRARIES)
    libraries = {Path(each) for each in re.findall(r"(?:=> |^\t)(/\S+?)(?: \(|$)", said, re.MULTILINE)}
    usual = next(each.parent for each in libraries if each.name == "libc.so.6")
    for library in libraries:
        # Of the interpreter's own one the image has the folder in ld.so.conf.
        place = usual / library.name if PREFIX in library.parents else library
        target = folder / "usr" / str(place).removeprefix("/usr").lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if "lib32" not in str(library) and not target.exists():
            shutil.copy(library, target)
    for file in (CERTIFICATES, *RESOLVING):
        if os.path.exists(file):
            (folder / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / file.lstrip("/"))
    return folder


def entering(
    root: Path,
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    uid: int = 0,
    gid: int = 0,
    folder: str = "/",
    is_read_only: bool = False,
    has_own_network: bool = False,
    volumes: Sequence[tuple[str, str]] = (),
    tmpfs: Sequence[str] = (),
) -> list[str]:
    """The command that runs a command there, as process 1."""
    import json

    told = {
        "root": str(root), "prefix": str(PREFIX), "command": list(command), "environ": dict(environ), "uid": uid, "gid": gid,
        "folder": folder, "read_only": is_read_only, "own_network": has_own_network, "volumes": volumes, "tmpfs": tmpfs,
    }  # fmt: skip
    spaces = ["--mount", "--pid", "--fork", "--kill-child", "--ipc", *(["--net"] if has_own_network else [])]
    return ["unshare", *spaces, str(INTERPRETER), "-I", "-S", "-c", ENTER, json.dumps(told)]


class ImageBuilder:
    """Carries out the stages, in `folder`, from the files in `context`."""

    def __init__(self, folder: Path, context: Path, args: Mapping[str, str], downloads: Mapping[str, str]) -> None:
        """`downloads` is what a builder here needs to reach the package index; no part of the image."""
        self.folder, self.context, self.args, self.downloads = folder, context, args, downloads
        self.ignored = Ignored((context / ".dockerignore").read_text())
        self.roots: dict[str, Path] = {}
        self.environ: dict[str, str] = {}

    def build(self, stages: Sequence[Stage]) -> Path:
        """The root of the last stage."""
        for number, stage in enumerate(stages):
            self.roots[stage.name] = root = base(self.folder / f"stage-{number}")
            self._build(stage, root)
        return root

    def _build(self, stage: Stage, root: Path) -> None:
        env, known, folder = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"}, dict(self.args), "/"
        for each in stage.instructions:
            if each.name == "ARG":
                name, _, default = each.text.partition("=")
                known.setdefault(name, default)
            elif each.name == "ENV":
                env |= each.pairs({**known, **env})
            elif each.name == "WORKDIR":
                folder = each.text
                _inside(root, folder).mkdir(parents=True, exist_ok=True)
            elif each.name == "COPY":
                *sources, target = [substituted(word, {**known, **env}) for word in each.words]
                self._copy(sources, root, os.path.join(folder, target), target, each.options)
            elif each.name == "RUN":
                shell = entering(root, ["/bin/sh", "-c", each.text], {**known, **env, **self.downloads}, folder=folder)
                done = subprocess.run(shell, capture_output=True, text=True, timeout=300)
                assert done.returncode == 0, f"RUN {each.text}\n{done.stdout}{done.stderr}"
        self.environ = env

    def _copy(self, sources: Sequence[str], root: Path, place: str, target: str, options: Mapping[str, str]) -> None:
        is_folder = target.endswith("/") or len(sources) > 1
        origin = options.get("from")
        for source in sources:
            path = _inside(self.roots[origin], source) if origin is not None else self.context / source
            assert path.exists(), f"COPY {source}: there is none"
            assert origin is not None or source not in self.ignored, f"COPY {source}: .dockerignore leaves it out"
            to = _inside(root, os.path.join(place, path.name) if is_folder else place)
            to.parent.mkdir(parents=True, exist_ok=True)
            if origin is not None:
                path.rename(to)  # no step comes back for it
            elif path.is_dir():
                shutil.copytree(path, to, symlinks=True, dirs_exist_ok=True, ignore=self._left_out)
            else:
                shutil.copy2(path, to)
            if mode := options.get("chmod"):
                to.chmod(int(mode, 8))

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        within = Path(folder).relative_to(self.context)
        return [name for name in names if str(within / name) in self.ignored]


def _inside(root: Path, path: str) -> Path:
    return root / os.path.normpath(path).lstrip("/")
