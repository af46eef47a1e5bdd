"""What the servers in Python have to say."""

import hashlib
import posixpath
import re

HELLO = b"hello\n"
SECRET = b"of the admin\n"
COOKIES = (("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/; HttpOnly"))
BIG = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(160_000))  # 5 MB that no piece of repeats
PIECES = [BIG[start : start + 1000] for start in range(0, 50_000, 1000)]
EVENTS = [b"data: %d\n\n" % number for number in range(3)]
OTHERS = ("/@scope/name", "/page", "/page;jsessionid=1", "/my file")  # what paths with escapes and parameters are for


def is_admin(path: str) -> bool:
    """Whether a program may take the decoded path for one of /admin: as it is, resolved as files are, without empty segments,
    and each of them without parameters."""
    readings = [path, re.sub(";[^/]*", "", path)]
    readings += [posixpath.normpath("/" + reading.lstrip("/")) for reading in readings]
    readings += ["/" + "/".join(filter(None, reading.split("/"))) for reading in readings]
    return any(reading == "/admin" or reading.startswith("/admin/") for reading in readings)
