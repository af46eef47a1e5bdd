"""Keys: each for its own algorithms, and nothing weak, private or of another kind."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from joserfc.jwk import ECKey, RSAKey
from tokens import key_for, private_pem, public_pem, rsa_key

from balance.security.jwt_keys import check_secret, jwks_keys, pem_keys

EC_JWK = ECKey.import_key(public_pem(key_for("ES256"))).as_dict(private=False)
RSA_JWK = RSAKey.import_key(public_pem(key_for("RS256"))).as_dict(private=False)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("RS256", ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")), ("ES384", ("ES384",)), ("EdDSA", ("EdDSA",))],
)
def test_a_pem_key_is_for_the_algorithms_of_its_type(algorithm: str, expected: tuple[str, ...]) -> None:
    (key,) = pem_keys(public_pem(key_for(algorithm)))
    assert key.algorithms == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no PEM block"),
        (private_pem(key_for("ES256")), "private key"),
        (public_pem(rsa_key(1024)), "2048 to 8192 bits"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "none of RSA"),
        (public_pem(ed448.Ed448PrivateKey.generate()), "none of RSA"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "another kind: CERTIFICATE"),
        ("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", "none of RSA"),
    ],
    ids=range(7),
)
def test_a_pem_file_that_has_none(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        list(pem_keys(text))


def test_of_a_set_the_keys_that_fit_are_taken_and_the_others_passed_over() -> None:
    others: list[object] = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "OKP", "crv": "Ed448", "x": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {**EC_JWK, "use": "enc"},
        {**EC_JWK, "key_ops": ["sign"]},
        {**EC_JWK, "kid": 7},
        {**EC_JWK, "alg": "HS256"},
        {**EC_JWK, "x": "!"},
        {"kty": []},
        None,
        "x",
    ]
    keys = jwks_keys(json.dumps({"keys": [*others, {**EC_JWK, "kid": "a"}, {**RSA_JWK, "alg": "PS256"}]}))
    assert [(key.kid, key.algorithms) for key in keys] == [("a", ("ES256",)), ("", ("PS256",))]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"keys": {}}', '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}', "[" * 9999]
)
def test_what_is_no_set(text: str) -> None:
    with pytest.raises(ValueError, match=r"no set of keys|no list|no public key"):
        jwks_keys(text)


@pytest.mark.parametrize(
    ("secret", "algorithms", "what"),
    [
        ("s" * 31, ("HS256",), "shorter than the 32 bytes"),
        ("s" * 63, ("HS256", "HS512"), "shorter than the 64 bytes"),
        ("", ("HS256",), "shorter"),
        *((text, ("HS256",), "looks like a key") for text in (
            public_pem(key_for("RS256")), json.dumps(EC_JWK), "ssh-ed25519 AAAA" + "A" * 60, json.dumps([EC_JWK]),
            "".join(public_pem(key_for("RS256")).splitlines()[1:-1]),
        )),
    ],
    ids=range(8),
)  # fmt: skip
def test_a_secret_that_is_none(secret: str, algorithms: tuple[str, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        check_secret(secret, algorithms)
    assert not secret or secret not in str(caught.value)
    check_secret("s" * 64, algorithms)
