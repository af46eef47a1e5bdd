"""Keys from a real server: what is taken, and what is wrong with all else, in words."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from jwks_server import JwksServer
from pem_files import self_signed
from tokens import key_for, public_pem, rsa_key

from balance.process.control.key_fetch import FetchError, KeyFetch
from balance.security.key_set import JwksSource

KEY = ECKey.import_key(public_pem(key_for("ES256"))).as_dict(private=False)
GOOD = json.dumps({"keys": [KEY | {"kid": "a"}]})
SECRET = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U", "kid": "s"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JwksServer]:
    made = JwksServer(tmp_path_factory.mktemp("jwks"))
    yield made
    made.close()


def source(url: str, ca: str = "", timeout_s: float = 5.0) -> JwksSource:
    return JwksSource(url, ca, 600.0, 30.0, timeout_s)


@pytest.mark.parametrize(
    ("mode", "life_s"), [("", 600.0), ("Cache-Control: max-age=90", 90.0), ("chunked", 600.0), ("redirect /other", 600.0)]
)
def test_a_good_set(server: JwksServer, mode: str, life_s: float) -> None:
    server.answer(GOOD, mode)
    fetched = KeyFetch(source(server.url())).run()
    assert (fetched.text, fetched.life_s) == (GOOD, life_s)


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        ("", "", "its answer is no set of keys"),
        ("", "<html>maintenance</html>", "its answer is no set of keys"),
        ("", "[" * 20_000, "its answer is no set of keys"),
        ("", "[]", "its answer is no set of keys"),
        ("", '{"keys": []}', "its answer has no public key"),
        ("", '{"keys": {}}', "its answer has no list of at most 200 keys"),
        ("", json.dumps({"keys": [0] * 201}), "its answer has no list of at most 200 keys"),
        ("", json.dumps({"keys": [SECRET]}), "its answer has no public key"),
        ("", json.dumps({"keys": [KEY | {"use": "enc"}, KEY | {"key_ops": ["encrypt"]}]}), "its answer has no public key"),
        ("status", GOOD, "it answers 500"),
        ("redirect http://other.example/jwks", GOOD, "it leads elsewhere, which is not followed: other.example"),
        ("redirect file:///etc/passwd", GOOD, "it leads elsewhere, which is not followed: nowhere"),
        ("redirect /jwks", GOOD, "more than 3 redirects"),
        ("cut", GOOD, "its answer breaks off|IncompleteRead"),
        ("huge", "", "its answer is longer than 1 MB"),
        ("no http", "", "SSH-2.0-x"),
        ("gzip", GOOD, "its answer is compressed, which nobody has asked for"),
    ],
    ids=range(17),
)
def test_what_is_no_set(server: JwksServer, mode: str, text: str, words: str) -> None:
    server.answer(text, mode)
    with pytest.raises(FetchError, match=words) as caught:
        KeyFetch(source(server.url() + "?secret=1")).run()
    assert "secret" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["silent", "drip", "drip body"])
def test_it_ends_in_time(server: JwksServer, mode: str) -> None:
    server.answer(GOOD, mode)
    fetch = KeyFetch(source(server.url(), timeout_s=0.3))
    timer = threading.Timer(0.5, fetch.close)  # as control does: a byte now and then keeps a head coming
    timer.start()
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"no answer within 0\.3s"):
        fetch.run()
    assert time.monotonic() - began < 10
    timer.join()


def test_nobody_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="Connection refused"):
            KeyFetch(source(f"http://127.0.0.1:{held.getsockname()[1]}/")).run()
    with pytest.raises(FetchError, match=r"not known|resolution|No address"):
        KeyFetch(source("http://nowhere.invalid/")).run()


def test_weak_keys_and_other_kinds_are_passed_over(server: JwksServer) -> None:
    from joserfc.jwk import RSAKey

    weak = RSAKey.import_key(public_pem(rsa_key(1024))).as_dict(private=False)
    text = json.dumps(
        {"keys": [SECRET, weak, {"kty": "AKP"}, {"kty": "EC", "crv": "secp256k1"}, 7, KEY | {"kid": "a"}, KEY | {"kid": "a"}]}
    )
    server.answer(text)
    assert KeyFetch(source(server.url())).run().text == text


def test_proxies_of_the_environment_are_not_asked(server: JwksServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer(GOOD)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert KeyFetch(source(server.url())).run().text == GOOD


@pytest.mark.long
def test_https_is_verified(tmp_path: Path) -> None:
    pair = self_signed("localhost")
    server = JwksServer(tmp_path, str(pair.cert), str(pair.key))
    try:
        server.answer(GOOD)
        ca = pair.cert.read_text()
        assert KeyFetch(source(server.url("localhost"), ca)).run().text == GOOD
        with pytest.raises(FetchError, match="its certificate is not trusted: self"):
            KeyFetch(source(server.url("localhost"))).run()
        with pytest.raises(FetchError, match=r"its certificate is not trusted: .*127\.0\.0\.1"):
            KeyFetch(source(server.url("127.0.0.1"), ca)).run()
        server.answer(GOOD, f"redirect {server.url('localhost').replace('https', 'http')}")
        with pytest.raises(FetchError, match="it leads elsewhere"):
            KeyFetch(source(server.url("localhost"), ca)).run()
    finally:
        server.close()
