"""Hashes: those of other libraries verify, and what is quick to guess or costs too much does not load."""

from __future__ import annotations

import base64
import hashlib

import argon2
import bcrypt
import pytest

from balance.security.password_hash import PasswordHash, WrongLineError, parse_htpasswd


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=").replace("+", ".")


def scrypt(password: bytes, n: int = 16, ln: int = 4) -> str:
    salt = b"01234567\xfb\xff"
    key = hashlib.scrypt(password, salt=salt, n=n, r=8, p=1, dklen=32)
    return f"$scrypt$ln={ln},r=8,p=1${base64_of(salt)}${base64_of(key)}"


def werkzeug(password: bytes) -> str:
    return "scrypt:16:8:1$c2FsdA$" + hashlib.scrypt(password, salt=b"c2FsdA", n=16, r=8, p=1, dklen=64).hex()


def by_bcrypt(password: bytes) -> str:
    return bcrypt.hashpw(password[:72], b"$2b$04$" + b"abcdefghijklmnopqrstuu").decode()


def by_argon2(password: bytes) -> str:
    return argon2.PasswordHasher(1, 64, 1).hash(password, salt=b"0123456789abcdef")


@pytest.mark.parametrize("make", [scrypt, werkzeug, by_bcrypt, by_argon2])
@pytest.mark.parametrize("password", [b"secret", "p\u00e4ss:w\u00f6rd".encode(), b"", b"x" * 1024])
def test_the_right_password_alone_is_right(make: object, password: bytes) -> None:
    made = PasswordHash(make(password))  # type: ignore[operator]
    assert made.verify(password)
    for wrong in (b"y" + password[:70], b"Secret"):
        assert not made.verify(wrong)
    assert made.cost > 0


def test_the_apache_form_of_bcrypt_is_the_same() -> None:
    assert PasswordHash(by_bcrypt(b"x").replace("$2b$", "$2y$")).verify(b"x")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        *((each, "no hash that is slow to guess") for each in (
            "", "secret", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "$1$a$b", "$6$a$b",
            "5f4dcc3b5aa765d61d8327deb882cf99", "$2b$10$short", by_bcrypt(b"x") + "\n",
            "$scrypt$ln=4,r=8,p=1$x", "$argon2id$v=19",
        )),
        (by_bcrypt(b"x").replace("$04$", "$31$"), "cost of 31"),
        (by_argon2(b"x").replace("m=64", "m=99999999"), "more than m=131072"),
        (by_argon2(b"x").replace("t=1", "t=9999"), "more than m=131072"),
        (scrypt(b"x", ln=30), "more than 128 MB"),
        (scrypt(b"x").replace("p=1", "p=999"), "more than 128 MB"),
        (scrypt(b"x").replace("r=8", "r=0"), "a power of 2"),
        (werkzeug(b"x").replace(":16:", ":17:"), "a power of 2"),
    ],
)  # fmt: skip
def test_what_is_quick_to_guess_or_costs_too_much_is_refused_and_not_quoted(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        PasswordHash(text)
    assert not text or text not in str(caught.value)


def test_an_htpasswd_file() -> None:
    one, two = scrypt(b"1"), by_bcrypt(b"2")
    assert parse_htpasswd(f"# users\n\nada:{one}\r\n  b\u00f6b:{two}  \n") == (("ada", one), ("b\u00f6b", two))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ada", "1: is not user:hash"),
        ("\n:x", "2: is not user:hash"),
        ("a\x01:x", "1: is not user:hash"),
        ("ada:plain", "1: 'ada': it is no hash"),
        (f"a:{scrypt(b'1')}\na:{scrypt(b'2')}", "2: 'a' is there twice"),
    ],
)
def test_a_wrong_line_is_named(text: str, what: str) -> None:
    with pytest.raises(WrongLineError) as caught:
        parse_htpasswd(text)
    assert f"{caught.value.line}: {caught.value}".startswith(what)
