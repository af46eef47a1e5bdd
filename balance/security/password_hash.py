"""Hashes of passwords as files have them: bcrypt, scrypt and argon2. What is fast to guess (plain text, MD5, SHA) is refused.

What one verification may cost is bounded where the hash is read. The libraries are imported by the first verification.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

MAX_PASSWORD: Final = 1024  # bytes; a longer one is no password
_BCRYPT_USES: Final = 72  # bytes of a password, all that the algorithm looks at
_MAX_BCRYPT_COST: Final = 14  # about a second
_MAX_MEMORY: Final = 128 * 1024 * 1024  # bytes of one verification
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$v=\d+\$m=(\d{1,9}),t=(\d{1,5}),p=(\d{1,3})\$[A-Za-z0-9+/]{8,128}\$[A-Za-z0-9+/]{16,128}"
)
_SCRYPT = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/.]{4,128})\$([A-Za-z0-9+/.]{20,128})")
_WERKZEUG = re.compile(r"scrypt:(\d{1,8}):(\d{1,3}):(\d{1,3})\$([A-Za-z0-9]{4,64})\$([0-9a-f]{40,128})")
KINDS: Final = "bcrypt ($2b$...), argon2 ($argon2id$...) or scrypt ($scrypt$..., scrypt:...)"


class PasswordHash:
    """One hash, parsed."""

    __slots__ = ("_expected", "_n", "_p", "_r", "_salt", "_text", "cost", "module")

    def __init__(self, text: str) -> None:
        """ValueError, which does not quote it, when it is none or may cost too much."""
        self._text = text.encode()
        self.module = ""  # what verify() imports
        self._salt = self._expected = b""
        self._n = self._r = self._p = 0
        if (match := _BCRYPT.fullmatch(text)) is not None:
            self.module = "bcrypt"
            cost = int(match[1])
            if not 4 <= cost <= _MAX_BCRYPT_COST:
                raise ValueError(f"a bcrypt cost of {cost} is not in 4..{_MAX_BCRYPT_COST}: each request would take too long")
            self.cost = float(2**cost)
        elif (match := _ARGON2.fullmatch(text)) is not None:
            self.module = "argon2"
            memory, time, lanes = (int(each) for each in match.groups())
            if memory * 1024 > _MAX_MEMORY or time > 20 or lanes > 16:
                raise ValueError("an argon2 hash of more than m=131072, t=20 or p=16: each request would take too much")
            self.cost = memory * time / 50.0
        elif (match := _SCRYPT.fullmatch(text)) is not None:
            self._n, self._r, self._p = 2 ** int(match[1]), int(match[2]), int(match[3])
            self._salt, self._expected = _decoded(match[4]), _decoded(match[5])
        elif (match := _WERKZEUG.fullmatch(text)) is not None:
            self._n, self._r, self._p = int(match[1]), int(match[2]), int(match[3])
            self._salt, self._expected = match[4].encode(), bytes.fromhex(match[5] if len(match[5]) % 2 == 0 else "00")
        else:
            raise ValueError(f"it is no hash that is slow to guess; write {KINDS}")
        if self._n:
            n, r, p = self._n, self._r, self._p
            if n < 2 or n & (n - 1) or not r or not p:
                raise ValueError("a scrypt hash has N, a power of 2, r and p")
            if 128 * n * r > _MAX_MEMORY or p > 16:
                raise ValueError("a scrypt hash of more than 128 MB or p=16: each request would take too much")
            self.cost = n * r * p / 250.0

    def verify(self, password: bytes) -> bool:
        """Whether it is that of this password. Takes long: not for the loop."""
        if self.module == "bcrypt":
            import bcrypt

            if b"\0" in password:
                return False
            return bcrypt.checkpw(password[:_BCRYPT_USES], self._text)
        if self.module == "argon2":
            from argon2 import PasswordHasher
            from argon2.exceptions import Argon2Error, InvalidHashError

            try:
                return PasswordHasher().verify(self._text, password)
            except (Argon2Error, InvalidHashError):
                return False
        found = hashlib.scrypt(
            password,
            salt=self._salt,
            n=self._n,
            r=self._r,
            p=self._p,
            maxmem=2 * _MAX_MEMORY,
            dklen=len(self._expected),
        )
        return hmac.compare_digest(found, self._expected)


def _decoded(text: str) -> bytes:
    """Base64 without padding, `.` for `+` as passlib writes it."""
    text = text.replace(".", "+")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("a scrypt hash whose salt or key is no base64") from None


class WrongLineError(ValueError):
    """What is wrong with the `line` of that number."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


def parse_htpasswd(text: str) -> tuple[tuple[str, str], ...]:
    """(user, hash) of each line. WrongLineError for the first one that is wrong."""
    users: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, colon, hashed = line.partition(":")
        if not colon or not user or not user.isprintable():
            raise WrongLineError(number, "is not user:hash")
        if user in users:
            raise WrongLineError(number, f"{user!r} is there twice")
        try:
            PasswordHash(hashed)
        except ValueError as error:
            raise WrongLineError(number, f"{user!r}: {error}") from None
        users[user] = hashed
    return tuple(users.items())
