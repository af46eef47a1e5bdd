"""Tokens: good ones of three makers, and all that attackers make of them."""

from __future__ import annotations

import hashlib
import hmac
import math
import subprocess
from pathlib import Path

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk
from joserfc import jwt as joserfc_jwt
from tokens import GOOD, NOW, SECRET, by_hand, encoded, key_for, private_pem, public_pem, verifier

from balance.security.jwt_keys import ALGORITHMS, pem_keys
from balance.security.jwt_token import ForbiddenError, InvalidTokenError, Verifier, field_text
from balance.security.settings import Jwt


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_by_two_libraries(algorithm: str) -> None:
    secret = algorithm.startswith("HS")
    private = SECRET if secret else private_pem(key_for(algorithm))
    kind = "oct" if secret else {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]] if algorithm != "EdDSA" else "OKP"
    by_pyjwt = pyjwt.encode(GOOD, private, algorithm).encode()
    by_joserfc = joserfc_jwt.encode(
        {"alg": algorithm},
        GOOD,
        jwk.import_key(private, kind),
        algorithms=[algorithm],  # type: ignore[arg-type]
    ).encode()
    judge = verifier(algorithm)
    for token in (by_pyjwt, by_joserfc):
        assert judge.verify(token, NOW) == (GOOD, NOW + 90)
        head, payload, signature = token.split(b".")
        other = encoded(GOOD | {"sub": "root"}).encode()
        flipped = (b"B" if signature[:1] == b"A" else b"A") + signature[1:]
        for bad in (b".".join((head, other, signature)), b".".join((head, payload, flipped))):
            with pytest.raises(InvalidTokenError):
                judge.verify(bad, NOW)
    for other_algorithm in ALGORITHMS:
        if other_algorithm != algorithm:
            with pytest.raises(InvalidTokenError, match="not listed"):
                verifier(other_algorithm).verify(by_pyjwt, NOW)


def test_a_token_that_openssl_has_signed(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(private_pem(key_for("RS256")))
    signed = f"{encoded({'alg': 'RS256', 'typ': 'JWT'})}.{encoded(GOOD)}"
    command = ["openssl", "dgst", "-sha256", "-sign", str(tmp_path / "key.pem")]
    signature = subprocess.run(command, input=signed.encode(), capture_output=True, check=True).stdout
    assert verifier("RS256").verify(f"{signed}.{encoded(signature)}".encode(), NOW)[0] == GOOD


NESTED = b'{"exp": 1800000060, "a": ' + b"[" * 2500 + b"]" * 2500 + b"}"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"", "three parts"),
        (b"a.b", "three parts"),
        (b"a.b.c.d", "three parts"),
        (b"a.b.c\n", "three parts"),
        (b"a.b=.c", "three parts"),
        (by_hand(GOOD) + b"=", "three parts"),
        (b"A" * 9000, "more than 8192 bytes"),
        (b"a" * 10_000_000, "more than"),
        (f"{encoded({'alg': 'none'})}.{encoded(GOOD)}.".encode(), "three parts"),
        (f"{encoded({'alg': 'none'})}.{encoded(GOOD)}.AA".encode(), "not listed"),
        (by_hand(GOOD, alg="None"), "not listed"),
        (by_hand(GOOD, alg="nOnE"), "not listed"),
        (by_hand(GOOD, alg=["HS256"]), "not listed"),
        (by_hand(GOOD, alg={}), "not listed"),
        (by_hand(GOOD, alg=None), "not listed"),
        (by_hand(GOOD, alg="HS384"), "not listed"),
        (by_hand(GOOD, secret=""), "no key verifies"),
        (by_hand(GOOD, secret="t" * 64), "no key verifies"),
        (by_hand(GOOD, jwk={"kty": "oct", "k": encoded("t" * 64)}, secret="t" * 64), "no key verifies"),
        (by_hand(GOOD, jku="http://evil.example/keys", secret="t" * 64), "no key verifies"),
        (by_hand(GOOD, kid="../../../dev/null", secret="\0"), "no key verifies"),
        (by_hand(GOOD, kid=["a"]), "a kid that is no text"),
        (by_hand(GOOD, crit=["x"], x=1), "an extension"),
        (by_hand(GOOD, crit=[]), "an extension"),
        (by_hand(GOOD, b64=False), "an extension"),
        (by_hand(GOOD, typ="JWE"), "another type"),
        (by_hand(GOOD, typ="secevent+jwt"), "another type"),
        (by_hand(GOOD, typ=1), "another type"),
        (by_hand(GOOD, x5c="A" * 2000), "a header that is too large"),
        (by_hand("[]"), "no object"),
        (by_hand('"a"'), "no object"),
        (by_hand(b"\xff"), "no JSON"),
        (by_hand('{"sub": "a", "sub": "root", "exp": 1800000060}'), "no JSON"),
        (by_hand('{"exp": 1800000060, "a": NaN}'), "no JSON"),
        (by_hand('{"exp": Infinity}'), "no JSON"),
        (by_hand(NESTED), "no JSON"),
        (by_hand('{"exp": ' + "1" * 5000 + "}"), "no JSON"),
        (by_hand({"sub": "a"}), "exp is missing"),
        (by_hand({"exp": None}), "exp is missing"),
        (by_hand({"exp": "1800000060"}), "exp is no time"),
        (by_hand({"exp": True}), "exp is no time"),
        (by_hand({"exp": [1800000060]}), "exp is no time"),
        (by_hand({"exp": 1e300}), "exp is no time"),
        (by_hand('{"exp": 1e999}'), "exp is no time"),
        (by_hand({"exp": -1}), "exp is no time"),
        (by_hand({"exp": NOW + 60, "nbf": "x"}), "nbf is no time"),
        (by_hand({"exp": NOW + 60, "nbf": None}), "nbf is no time"),
        (by_hand({"exp": NOW + 60, "iat": False}), "iat is no time"),
    ],
    ids=range(48),
)
def test_attacks(token: bytes, why: str) -> None:
    with pytest.raises(InvalidTokenError, match=why) as caught:
        verifier().verify(token, NOW)
    assert len(str(caught.value)) < 100
    if token == by_hand(GOOD, x5c="A" * 2000):
        return
    assert verifier(max_size_bytes=400).verify(by_hand(GOOD), NOW)
    with pytest.raises(InvalidTokenError, match="more than 100 bytes"):
        verifier(max_size_bytes=100).verify(by_hand(GOOD), NOW)


def test_a_token_that_is_signed_with_the_public_key_as_a_secret() -> None:
    public = public_pem(key_for("RS256"))
    keys = [*pem_keys(public)]
    judge = Verifier(Jwt(algorithms=("RS256", "HS256")), keys)
    for secret in (public, public.strip(), public.replace("\n", "")):
        with pytest.raises(InvalidTokenError, match="no key of that name"):
            judge.verify(by_hand(GOOD, secret=secret), NOW)
    signed = f"{encoded({'alg': 'RS256'})}.{encoded(GOOD)}"
    forged = f"{signed}.{encoded(hmac.digest(public.encode(), signed.encode(), hashlib.sha256))}"
    with pytest.raises(InvalidTokenError, match="no key verifies"):
        judge.verify(forged.encode(), NOW)


@pytest.mark.parametrize(
    ("keys", "claims", "expected"),
    [
        ({}, {}, ""),
        ({}, {"exp": NOW - 29}, ""),
        ({}, {"exp": NOW - 30}, "expired"),
        ({"leeway_s": 5.0}, {"exp": NOW - 6}, "expired"),
        ({"leeway_s": 5.0}, {"exp": NOW - 4.5}, ""),
        ({}, {"nbf": NOW + 29}, ""),
        ({}, {"nbf": NOW + 31}, "not valid yet"),
        ({"required_claims": ("sub",)}, {"exp": None}, "exp is no time"),
        ({"required_claims": ("exp", "jti")}, {}, "jti is missing"),
        ({"required_claims": ("jti",)}, {"jti": "1"}, ""),
        ({"issuer": ("https://i.example",)}, {"iss": "https://i.example"}, ""),
        ({"issuer": ("https://i.example",)}, {"iss": "https://i.example.evil.org"}, "another issuer"),
        ({"issuer": ("https://i.example",)}, {"iss": "https://i.exampl"}, "another issuer"),
        ({"issuer": ("https://i.example",)}, {"iss": ["https://i.example"]}, "another issuer"),
        ({"issuer": ("https://i.example",)}, {}, "another issuer"),
        ({"audience": ("shop", "api")}, {"aud": "api"}, ""),
        ({"audience": ("shop",)}, {"aud": ["x", "shop"]}, ""),
        ({"audience": ("shop",)}, {"aud": ["x", ["shop"]]}, "another audience"),
        ({"audience": ("shop",)}, {"aud": {"shop": 1}}, "another audience"),
        ({"audience": ("shop",)}, {"aud": "shops"}, "another audience"),
        ({"audience": ("shop",)}, {}, "another audience"),
        ({"claims": (("role", ("admin", "staff")),)}, {"role": "staff"}, ""),
        ({"claims": (("role", ("admin",)),)}, {"role": ["x", "admin"]}, ""),
        ({"claims": (("scope", ("write",)),)}, {"scope": "read write"}, ""),
        ({"claims": (("level", ("3",)),)}, {"level": 3}, ""),
        ({"claims": (("verified", ("true",)),)}, {"verified": True}, ""),
        ({"claims": (("verified", ("true",)),)}, {"verified": False}, "403"),
        ({"claims": (("role", ("admin",)),)}, {"role": "administrator"}, "403"),
        ({"claims": (("role", ("admin",)),)}, {"role": {"admin": True}}, "403"),
        ({"claims": (("role", ("admin",)),)}, {}, "403"),
    ],
)
def test_claims(keys: dict[str, object], claims: dict[str, object], expected: str) -> None:
    token = by_hand(GOOD | claims)
    if expected:
        with pytest.raises(
            ForbiddenError if expected == "403" else InvalidTokenError, match=expected.replace("403", "role|verified")
        ):
            verifier(**keys).verify(token, NOW)
    else:
        assert verifier(**keys).verify(token, NOW)[0] == GOOD | claims


def test_a_token_without_an_end_where_none_is_required() -> None:
    assert verifier(required_claims=()).verify(by_hand({"sub": "a"}), NOW)[1] == math.inf


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_break_it(head: bytes, payload: bytes, signature: bytes) -> None:
    for token in (
        head,
        b".".join((head, payload, signature)),
        f"{encoded(head)}.{encoded(payload)}.{encoded(signature)}".encode(),
    ):
        with pytest.raises(InvalidTokenError):
            verifier().verify(token, NOW)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ada", b"ada"),
        (" b\u00f6b ", b"b\xc3\xb6b"),
        (7, b"7"),
        (True, b"true"),
        (None, None),
        ({}, None),
        (["a", 1, {}], b"a,1"),
        ([], b""),
    ],
)
def test_a_claim_as_a_field(value: object, expected: bytes | None) -> None:
    assert field_text(value) == expected


@pytest.mark.parametrize("value", ["a\r\nX-Role: admin", "a\0b", "a\x7f", ["a,b"], ["a", "b\n"], "\ud800"])
def test_what_would_break_out_of_a_field_is_refused(value: object) -> None:
    with pytest.raises(InvalidTokenError):
        field_text(value)
