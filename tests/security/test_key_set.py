"""A set of keys by URL in one worker: who asks for another one, who waits, and what a change means."""

from __future__ import annotations

import json

from joserfc.jwk import ECKey
from tokens import key_for, public_pem

from balance.security.key_set import MAX_WAITING, WAIT_S, JwksSource, KeySet, KeySets, KeyState
from balance.security.settings import Jwt

SOURCE = JwksSource("https://login.example/jwks.json?secret=1", "", 600.0, 30.0, 5.0)


def keys(*kids: str) -> str:
    key = ECKey.import_key(public_pem(key_for("ES256"))).as_dict(private=False)
    return json.dumps({"keys": [key | {"kid": kid} for kid in kids]})


def test_its_name_says_nothing_secret() -> None:
    assert SOURCE.name == "https://login.example/jwks.json"
    assert JwksSource("http://u:p@h:81/a?b", "", 1, 1, 1).name == "http://h:81/a"


def test_a_source_is_what_the_file_says() -> None:
    jwt = Jwt(
        enabled=True,
        jwks_url="https://a/",
        jwks_ca_file=(("ca.pem", "-----"),),
        jwks_refresh_s=1.0,
        jwks_cooldown_s=2.0,
        jwks_timeout_s=3.0,
    )
    assert jwt.jwks_source == JwksSource("https://a/", "-----", 1.0, 2.0, 3.0)
    assert Jwt(jwks_url="https://a/").jwks_source is None  # not enabled
    assert Jwt(enabled=True).jwks_source is None


def test_the_last_good_set_stays_and_its_version_changes_with_it_alone() -> None:
    key_set = KeySet(SOURCE, lambda source: None)
    assert (key_set.keys, key_set.version) == ((), 0)
    key_set.update(KeyState(keys("a", "b"), 1.0))
    assert [key.kid for key in key_set.keys] == ["a", "b"]
    for state in (KeyState(keys("a", "b"), 2.0), KeyState(keys("a", "b"), 2.0, "refused", 3.0)):
        key_set.update(state)
        assert (len(key_set.keys), key_set.version) == (2, 1)
    assert key_set.failure == "refused"
    key_set.update(KeyState(keys("b"), 4.0))
    assert ([key.kid for key in key_set.keys], key_set.version, key_set.failure) == (["b"], 2, "")


def test_the_first_set_is_waited_for_unless_it_can_not_be_had() -> None:
    key_set, woken = KeySet(SOURCE, lambda source: None), []
    for number in range(MAX_WAITING + 5):
        assert key_set.wait_for_first(lambda number=number: woken.append(number)) is (number < MAX_WAITING)
    key_set.update(KeyState(failure="refused", failed_at=1.0))
    assert woken == list(range(MAX_WAITING))
    assert not key_set.wait_for_first(lambda: None)


def test_a_flood_of_unknown_keys_asks_once_in_a_while() -> None:
    asked: list[JwksSource] = []
    woken: list[int] = []
    key_set = KeySet(SOURCE, asked.append)
    key_set.update(KeyState(keys("a"), 1.0))
    waiting = [key_set.wait_for_newer(lambda number=number: woken.append(number), 100.0) for number in range(1000)]
    assert (len(asked), sum(waiting)) == (1, MAX_WAITING)
    key_set.update(KeyState(keys("a"), 2.0))
    assert len(woken) == MAX_WAITING
    for now in (100.0, 101.0, 129.9):  # it has come: nobody waits for another so soon
        assert not key_set.wait_for_newer(lambda: None, now)
    assert key_set.wait_for_newer(lambda: None, 130.0)
    assert not key_set.wait_for_newer(lambda: None, 130.0 + WAIT_S)  # nobody has answered
    assert len(asked) == 2


def test_those_of_a_worker() -> None:
    sets = KeySets(lambda source: None, {SOURCE: KeyState(keys("a"), 1.0)})
    other = SOURCE._replace(url="http://other/")
    assert sets.get(SOURCE) is sets.get(SOURCE)
    assert len(sets.get(SOURCE).keys) == 1
    assert sets.get(other).keys == ()
    sets.update({other: KeyState(keys("x", "y"), 2.0)})
    assert len(sets.get(other).keys) == 2
    assert sets.get(SOURCE).keys == ()  # nobody fetches it any more: what it had may have been taken back
    assert KeySets.of_nobody().get(SOURCE).keys == ()
