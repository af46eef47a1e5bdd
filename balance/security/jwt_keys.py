"""The keys that tokens are verified with, each bound to the algorithms of its type (RFC 7518): no token picks another use.

HS* take a secret of the file alone: a public key, in whatever clothes, is never one. joserfc is imported where a key is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518 section 3.2
ALGORITHMS: Final = (
    *SECRET_BYTES, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_CURVE: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192  # longer ones take a millisecond and more to verify with
MAX_KEYS: Final = 200
_LOOKS_PUBLIC: Final = re.compile(r"\A\s*(?:-----BEGIN|\{|\[|ssh-|ecdsa-|MI[IG][A-Za-z0-9+/]{60})")
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class VerifyingKey:
    """One key. `kid` is "" where it has no name."""

    __slots__ = ("algorithms", "key", "kid")

    def __init__(self, key: Any, kid: str, algorithms: tuple[str, ...]) -> None:
        self.key = key
        self.kid = kid
        self.algorithms = algorithms


def check_secret(secret: str, algorithms: tuple[str, ...]) -> None:
    """ValueError, which does not quote it, for a secret that is none or too short for one of the algorithms."""
    if _LOOKS_PUBLIC.match(secret):
        raise ValueError("it looks like a key for RS*, PS*, ES* or EdDSA, which anybody may know: those go into pem_files")
    longest = max((SECRET_BYTES[each] for each in algorithms if each in SECRET_BYTES), default=32)
    if len(secret.encode()) < longest:
        raise ValueError(f"it is shorter than the {longest} bytes that {', '.join(algorithms)} need (RFC 7518 section 3.2)")


def secret_key(secret: str) -> VerifyingKey:
    from joserfc.jwk import OctKey

    return VerifyingKey(OctKey.import_key(secret), "", tuple(SECRET_BYTES))


def pem_keys(text: str) -> Iterator[VerifyingKey]:
    """The public keys of a file. ValueError for any other thing in it."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    found = _PEM.findall(text)
    if not found:
        raise ValueError("has no PEM block; write what openssl pkey -pubout gives")
    for match in _PEM.finditer(text):
        if "PRIVATE" in match[1]:
            raise ValueError("has a private key, which only who makes tokens may have; write openssl pkey -pubout's")
        if match[1] not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            raise ValueError(f"has a PEM block of another kind: {match[1]}")
        made = None
        for kind in (RSAKey, ECKey, OKPKey):
            try:
                made = kind.import_key(match[0])
                break
            except (JoseError, ValueError, TypeError):
                continue
        key = None if made is None else _bound(made, "", "")
        if key is None:
            raise ValueError("has a key that is none of RSA with 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519")
        yield key


def jwks_keys(text: str | bytes) -> list[VerifyingKey]:
    """The keys of a set that verify signatures with these algorithms; others are passed over (RFC 7517 section 5).

    ValueError for what is no set, or has no such key.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    try:
        listed = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError('is no set of keys, {"keys": [...]} (RFC 7517)') from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"has no list of at most {MAX_KEYS} keys")
    keys = []
    for each in listed:
        if not isinstance(each, dict) or each.get("kty") not in ("RSA", "EC", "OKP") or each.get("use", "sig") != "sig":
            continue
        operations, kid, named = each.get("key_ops", ["verify"]), each.get("kid", ""), each.get("alg", "")
        if not isinstance(operations, list) or "verify" not in operations or not isinstance(kid, str):
            continue
        public = {name: value for name, value in each.items() if name in ("kty", "n", "e", "crv", "x", "y")}
        try:
            key = _bound(import_key(public), kid, named)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            continue
        if key is not None:
            keys.append(key)
    if not keys:
        raise ValueError("has no public key for RS*, PS*, ES* or EdDSA")
    return keys


def _bound(key: Any, kid: str, named: object) -> VerifyingKey | None:
    """The key with the algorithms of its type, or the one that it is `named` for; None for one that is too weak or unknown."""
    algorithms: tuple[str, ...]
    if key.key_type == "RSA":
        algorithms = _RSA if _MIN_RSA_BITS <= key.public_key.key_size <= _MAX_RSA_BITS else ()
    else:
        algorithms = _OF_CURVE.get(key.curve_name, ())
    if named:
        algorithms = tuple(each for each in algorithms if each == named)
    return VerifyingKey(key, kid, algorithms) if algorithms else None
