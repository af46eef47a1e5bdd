"""Dropping privileges: the user that control and workers become, and what they give up with it for good.

The supervisor keeps its own: it binds ports below 1024, reads keys, and opens logs again at a reload. So does what it runs for
a moment to read the configuration. nginx's `user` does the same.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from balance.config.checking.user_ids import UnknownIdError, ids_of
from balance.config.model import Config
from balance.errors import StartError

# linux/prctl.h, linux/capability.h
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522

NEEDED = {"CAP_SETUID": 7, "CAP_SETGID": 6, "CAP_KILL": 5}

ADVICE = "workers run as root; write `user:`, or start it as another user (CAP_NET_BIND_SERVICE is for ports below 1024)"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user and group that children become."""

    user: str
    uid: int
    gid: int


def credentials_of(config: Config) -> Credentials | None:
    """Those that the configuration names; None when children stay what the supervisor is, as with `user: root`. StartError when
    there are none such, or when this process may not become them.
    """
    if not config.user:
        return None
    try:
        uid, gid = ids_of(config.user, config.group)
    except UnknownIdError as error:
        raise StartError(f"{error.key}: {error}") from None
    if uid == 0 and os.geteuid() == 0:
        return None
    if (uid, gid) != (os.geteuid(), os.getegid()) and (lacking := _lacking()):
        if os.geteuid() != 0:
            raise StartError(
                f"user: this process runs as {_name(os.geteuid())}, which can't become {config.user}: start it as root, or "
                "leave user and group out"
            )
        raise StartError(f"user: to start and end processes of {config.user} root needs {lacking}, which it does not have here")
    return Credentials(config.user, uid, gid)


def drop(credentials: Credentials) -> None:
    """In a child: become that user, for good. StartError when anything is left of what there was."""
    uid, gid = credentials.uid, credentials.gid
    try:
        if (os.getresuid(), os.getresgid()) != ((uid,) * 3, (gid,) * 3) or (os.getgroups() and not _lacking()):
            os.setgroups([])  # first: the right to do it goes with the user
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        _give_up_capabilities()
    except OSError as error:
        raise StartError(f"user: can't become {credentials.user}: {error.strerror or error}") from None
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or _can_be_root():
        raise StartError(f"user: this system lets a process that became {credentials.user} be root again; not started")
    _check_installation(credentials)


def _can_be_root() -> bool:
    """Whether root is not gone for good."""
    attempts: tuple[Callable[[], object], ...] = (partial(os.setuid, 0), partial(os.seteuid, 0), partial(os.setgroups, [0]))
    for regain in attempts:
        try:
            regain()
        except OSError:
            continue
        return True
    return bool(_capabilities())


def _capabilities(*kinds: bytes) -> int:
    """The capabilities of these kinds, or all that this process has, may take, or hands on; 0 where the system has none."""
    found = 0
    try:
        with open("/proc/thread-self/status", "rb") as file:
            for line in file:
                if line.startswith(kinds or (b"CapInh:", b"CapPrm:", b"CapEff:", b"CapAmb:")):
                    found |= int(line.split()[1], 16)
    except OSError:
        return 0
    return found


def _give_up_capabilities() -> None:
    """Give up every capability, and let no program that is executed bring any (PR_SET_NO_NEW_PRIVS): `sudo` and set-user-id
    programs do nothing in health checks. Without dumps: the memory has keys, and other processes of that user may not look.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)  # EINVAL before Linux 4.3, which has none
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _check_installation(credentials: Credentials) -> None:
    """Modules are imported when they are first needed: a user who can't read them would find that out much later."""
    for module in ("balance", "os"):
        file = sys.modules[module].__file__
        if file is not None and not os.access(file, os.R_OK):
            raise StartError(
                f"user: {credentials.user} can't read {os.path.dirname(file)}, from where the program is loaded: give it the "
                "right, or install it where everybody may read"
            )


def _lacking() -> str:
    """The capabilities that it takes to become another user and to end its processes, as far as they are missing. A container's
    root may have none of them.
    """
    if sys.platform != "linux":
        return "" if os.geteuid() == 0 else "root"
    has = _capabilities(b"CapEff:")
    return ", ".join(name for name, number in NEEDED.items() if not has >> number & 1)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
