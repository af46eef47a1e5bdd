"""The ids of `user` and `group`, each a name or a number, on this machine."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator

from balance.config.model import Config


class UnknownIdError(ValueError):
    """This machine has no such user or group; `key` is which."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def ids_of(user: str, group: str) -> tuple[int, int]:
    """The numbers of a user and a group; without a group that of the user. UnknownIdError when there are none such here."""
    gid = None
    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        uid, gid = found.pw_uid, found.pw_gid
    except (KeyError, OverflowError):
        if not user.isdigit():
            raise UnknownIdError("user", f"this machine has no user {user!r}") from None
        uid = int(user)
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise UnknownIdError("group", f"this machine has no group {group!r}") from None
    if gid is None:
        raise UnknownIdError("user", f"{user} has no entry on this machine that would tell its group; write group, too")
    return uid, gid


def user_errors(config: Config) -> Iterator[tuple[tuple[str], str]]:
    """Whether there are such a user and group."""
    if config.group and not config.user:
        yield ("group",), "has no effect without user; write user, too"
    elif config.user:
        try:
            ids_of(config.user, config.group)
        except UnknownIdError as error:
            yield (error.key,), str(error)
