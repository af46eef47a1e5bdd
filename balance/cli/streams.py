"""Opens standard streams that the parent closed (`balance serve >&-`, some service managers).

A closed descriptor is taken by the next file or socket that is opened, and then a stray print goes to a client.
"""

from __future__ import annotations

import os
import sys


def ensure_standard_streams() -> None:
    """Give each of stdin, stdout and stderr that is closed the null device."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            os.set_inheritable(fd, True)  # as the standard streams are
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  # for as long as the process lives
