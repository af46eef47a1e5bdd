"""Instances whose children become `nobody`: only root can start those."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# In a mount namespace of its own, everybody may pass through the folders that lead to this Python: pyenv's are in /root.
_MAKE_REACHABLE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags, data=None):
    if libc.mount(source.encode(), target.encode(), kind, flags, data):
        raise OSError(ctypes.get_errno(), f"mount {source} {target}")
if libc.unshare(0x20000):
    raise OSError(ctypes.get_errno(), "unshare")
mount("none", "/", None, 0x44000)
for folder, below in %r:
    kept = [(name, os.open(os.path.join(folder, name), os.O_PATH)) for name in below]
    mount("tmpfs", folder, b"tmpfs", 0, b"mode=755")
    for name, fd in kept:
        os.mkdir(os.path.join(folder, name))
        mount(f"/proc/self/fd/{fd}", os.path.join(folder, name), None, 0x1000)
        os.close(fd)
"""

# After those: nothing can be written anywhere, and the process is nobody's who may bind ports below 1024.
READ_ONLY = """
if "mount" not in globals():
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    def mount(source, target, kind, flags, data=None):
        if libc.mount(source.encode(), target.encode(), kind, flags, data):
            raise OSError(ctypes.get_errno(), f"mount {source} {target}")
    libc.unshare(0x20000)
    mount("none", "/", None, 0x44000)
for line in open("/proc/self/mounts").read().splitlines():
    target = line.split()[1]
    if not target.startswith(("/proc", "/sys")) and os.path.isdir(target):
        mount("none", target, None, 0x1021)
if os.path.isdir("/dev/shm"):
    mount("none", "/dev/shm", b"tmpfs", 1, b"mode=000")
os.environ.update(HOME="/nonexistent", TMPDIR="/nonexistent")
os.chdir("/")
os.umask(0o077)
libc.prctl(8, 1, 0, 0, 0)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
bind = 1 << 10
header, wanted = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(bind, bind, bind, 0, 0, 0)
if libc.capset(header, wanted) or libc.prctl(47, 2, 10, 0, 0):
    raise OSError(ctypes.get_errno(), "capset")
try:
    open("/tmp/written", "w")
except OSError:
    pass
else:
    raise SystemExit("it can be written to")
"""


def reachable() -> str:
    """The first lines of a program, after which any user can read Python and the package."""
    found: dict[str, set[str]] = {}
    for path in [*sys.path, os.__file__]:
        whole = Path(path).resolve()
        for folder in list(whole.parents)[-2::-1]:
            if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
                found.setdefault(str(folder), set()).add(whole.relative_to(folder).parts[0])
                break
    return _MAKE_REACHABLE % [(folder, sorted(below)) for folder, below in found.items()] if found else ""
