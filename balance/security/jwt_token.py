"""Reads and verifies a token (RFC 7515, 7519): header, signature, then claims. Says no to all that it need not understand.

Keys come from the configuration alone: `jwk`, `jku`, `x5c` and `x5u` of a header are not looked at, and `kid` is only compared.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from balance.security.jwt_keys import VerifyingKey
from balance.security.settings import Jwt

_MAX_HEADER: Final = 2048  # bytes of its base64
_MAX_DEPTH: Final = 500  # levels of its JSON
_MAX_TRIES: Final = 8  # keys that a token without kid is tried with
_MAX_TIME: Final = float(2**40)  # seconds since the epoch; a later one is a mistake
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt"))


class InvalidTokenError(Exception):
    """A token that is not good: why, in words for a log. Never quotes it. `was_checked`: a signature was, which costs time."""

    def __init__(self, words: str, *, was_checked: bool = False) -> None:
        super().__init__(words)
        self.was_checked = was_checked


class UnknownKeyError(InvalidTokenError):
    """A token that is signed with a key that is not among ours."""


class ForbiddenError(Exception):
    """A good token whose claims do not allow the request."""


class Verifier:
    """Verifies tokens by one `jwt`."""

    __slots__ = ("_algorithms", "_audience", "_claims", "_issuer", "_leeway_s", "_max_size", "_registry", "_required", "keys")

    def __init__(self, settings: Jwt, keys: Sequence[VerifyingKey]) -> None:
        from joserfc.jws import JWSRegistry

        self._algorithms = frozenset(settings.algorithms)
        self._registry = JWSRegistry(algorithms=list(settings.algorithms), strict_check_header=False)
        self._registry.max_header_length = _MAX_HEADER
        self.keys = tuple(keys)
        self._issuer = frozenset(settings.issuer)
        self._audience = frozenset(settings.audience)
        self._leeway_s = settings.leeway_s
        self._required = settings.required_claims
        self._claims = settings.claims
        self._max_size = settings.max_size_bytes

    def verify(self, token: bytes, epoch_s: float) -> tuple[dict[str, Any], float]:
        """The claims of a good token, and when it ends (infinite for never). InvalidTokenError, ForbiddenError."""
        if len(token) > self._max_size:
            raise InvalidTokenError(f"a token of more than {self._max_size} bytes")
        if not _TOKEN.fullmatch(token):
            raise InvalidTokenError("not three parts in base64url")
        encoded, _, rest = token.partition(b".")
        if len(encoded) > _MAX_HEADER:
            raise InvalidTokenError("a header that is too large")
        header = _object(encoded, "header")
        self._check_header(header)
        self._check_signature(token, header)
        try:
            claims = _object(rest.partition(b".")[0], "payload")
            ends = self._check_times(claims, epoch_s)
            self._check_parties(claims)
        except InvalidTokenError as error:
            error.was_checked = True
            raise
        for name, values in self._claims:
            if not _texts(claims.get(name)).intersection(values):
                raise ForbiddenError(f"the claim {name} does not allow this")
        return claims, ends

    def _check_header(self, header: dict[str, Any]) -> None:
        if header.get("alg") not in self._algorithms if isinstance(header.get("alg"), str) else True:
            raise InvalidTokenError("an algorithm that is not listed")
        if "crit" in header or "b64" in header:  # RFC 7515 section 4.1.11: not understood, so refused
            raise InvalidTokenError("an extension that is not understood")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise InvalidTokenError("a token of another type")
        if not isinstance(header.get("kid", ""), str):
            raise InvalidTokenError("a kid that is no text")

    def _check_signature(self, token: bytes, header: dict[str, Any]) -> None:
        from joserfc.errors import JoseError
        from joserfc.jws import deserialize_compact

        algorithm, kid = header["alg"], header.get("kid", "")
        fitting = [key for key in self.keys if algorithm in key.algorithms and (key.kid == kid or not key.kid or not kid)]
        for key in fitting[:_MAX_TRIES]:
            try:
                deserialize_compact(token, key.key, registry=self._registry)
            except (JoseError, ValueError, TypeError, RecursionError):
                continue
            return
        if fitting:
            raise InvalidTokenError("no key verifies its signature", was_checked=True)
        raise UnknownKeyError("no key of that name and algorithm")

    def _check_times(self, claims: dict[str, Any], epoch_s: float) -> float:
        for name in self._required:
            if claims.get(name) is None:
                raise InvalidTokenError(f"the claim {name} is missing")
        expires, begins = _time(claims, "exp"), _time(claims, "nbf")
        _time(claims, "iat")
        if expires is not None and epoch_s >= expires + self._leeway_s:
            raise InvalidTokenError("it has expired")
        if begins is not None and epoch_s < begins - self._leeway_s:
            raise InvalidTokenError("it is not valid yet")
        return math.inf if expires is None else expires + self._leeway_s

    def _check_parties(self, claims: dict[str, Any]) -> None:
        if self._issuer and not (isinstance(claims.get("iss"), str) and claims["iss"] in self._issuer):
            raise InvalidTokenError("it is from another issuer")
        if self._audience:
            given = claims.get("aud")
            audience = given if isinstance(given, list) else [given]
            if not any(isinstance(each, str) and each in self._audience for each in audience):
                raise InvalidTokenError("it is for another audience")


def _object(encoded: bytes, what: str) -> dict[str, Any]:
    """A part of a token; a name that is there twice, which readers take differently, and NaN are refused (RFC 8725 2.4)."""
    try:
        data = binascii.a2b_base64(encoded.translate(_STANDARD) + b"=" * (-len(encoded) % 4), strict_mode=True)
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        if data.count(b"[") + data.count(b"{") > _MAX_DEPTH and _is_too_deep(found):
            raise RecursionError
    except (ValueError, RecursionError):
        raise InvalidTokenError(f"a {what} that is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidTokenError(f"a {what} that is no object")
    return found


def _is_too_deep(found: Any) -> bool:
    """Whether it has more levels than we take. json has a limit of its own, which is another one in each version of Python."""
    level: list[Any] = [found]
    for _ in range(_MAX_DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not inner:
            return False
        level = inner
    return True


_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _time(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2): no text, no true, nothing beyond all calendars."""
    value = claims.get(name)
    if value is None:
        if name in claims:
            raise InvalidTokenError(f"{name} is no time")
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_TIME:
        raise InvalidTokenError(f"{name} is no time")
    return float(value)


def _texts(value: object) -> set[str]:
    """A claim's values for comparison: of a list each, of a text it and its words, as in scope (RFC 8693 section 4.2)."""
    if isinstance(value, list):
        return {text for each in value if isinstance(each, (str, int, bool)) for text in _texts(each)}
    if isinstance(value, bool):
        return {"true" if value else "false"}
    if isinstance(value, int):
        return {str(value)}
    return {value, *value.split(" ")} if isinstance(value, str) else set()


def field_text(value: object) -> bytes | None:
    """A claim as the value of a field; None for one that is not there or has a shape of its own.

    InvalidTokenError for what would break out of the field.
    """
    if isinstance(value, list):
        texts = [each for each in map(field_text, value) if each is not None]
        if any(b"," in each for each in texts):
            raise InvalidTokenError("a claim whose members have commas")
        return b",".join(texts)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if not isinstance(value, (str, int, float)):
        return None
    try:
        text = str(value).encode()
    except (UnicodeEncodeError, ValueError):  # half a character; a number of thousands of digits
        raise InvalidTokenError("a claim that can't stand in a field") from None
    if any(byte < 32 or byte == 127 for byte in text):
        raise InvalidTokenError("a claim that can't stand in a field")
    return text.strip()
