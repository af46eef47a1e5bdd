"""Keys and tokens for tests, made by joserfc, by PyJWT and by hand."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from balance.security.jwt_keys import pem_keys, secret_key
from balance.security.jwt_token import Verifier
from balance.security.settings import Jwt

SECRET = "s" * 64
NOW = 1_800_000_000.0
GOOD = {"sub": "ada", "exp": NOW + 60}
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


@functools.cache
def key_for(algorithm: str) -> Any:
    if algorithm.startswith(("RS", "PS")):
        return rsa_key(2048)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm])


@functools.cache
def rsa_key(bits: int) -> Any:
    return rsa.generate_private_key(65537, bits)


def public_pem(key: Any) -> str:
    return key.public_key().public_bytes(serialization.Encoding.PEM, PUBLIC).decode()


def private_pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else part.encode() if isinstance(part, str) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(claims: object, secret: str = SECRET, **header: object) -> bytes:
    """An HS256 token with any header and payload at all."""
    signed = f"{encoded({'alg': 'HS256'} | header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}".encode()


def verifier(algorithm: str = "HS256", **keys: Any) -> Verifier:
    settings = Jwt(**({"enabled": True, "algorithms": (algorithm,), "secret": SECRET} | keys))
    if algorithm.startswith("HS"):
        return Verifier(settings, [secret_key(settings.secret)])
    return Verifier(settings, list(pem_keys(public_pem(key_for(algorithm)))))
