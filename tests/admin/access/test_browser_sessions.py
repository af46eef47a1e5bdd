"""Sessions of browsers: two ends, two secrets, and a bounded number."""

from __future__ import annotations

from balance.admin.access.browser_sessions import IDLE_S, LONGEST_S, SessionStore
from balance.config.model import AdminAuth, AdminToken

TOKEN, OTHER = b"t" * 32, b"o" * 32
AUTH = AdminAuth(tokens=(AdminToken("ops", TOKEN),), read_only_tokens=(AdminToken("ci", OTHER),))


def test_a_session_ends_when_it_was_not_used() -> None:
    store = SessionStore()
    session, cookie, key = store.create(TOKEN, "ops", True, 0.0)
    assert store.of_cookie(cookie, AUTH, IDLE_S - 1) is session
    assert store.of_key(key, AUTH, 2 * IDLE_S - 2) is session  # either is a use of both
    assert store.of_cookie(cookie, AUTH, 3 * IDLE_S) is None
    assert len(store) == 0


def test_a_session_that_is_used_all_the_time_ends_as_well() -> None:
    store = SessionStore()
    session, cookie, _ = store.create(TOKEN, "ops", True, 0.0)
    now = 0.0
    while now < LONGEST_S:
        assert store.is_good(session, AUTH, now)
        now += IDLE_S / 2
    assert not store.is_good(session, AUTH, now)
    assert store.of_cookie(cookie, AUTH, now) is None


def test_a_cookie_is_no_key_and_a_key_no_cookie() -> None:
    store = SessionStore()
    _, cookie, key = store.create(TOKEN, "ops", True, 0.0)
    assert store.of_cookie(key, AUTH, 1.0) is None
    assert store.of_key(cookie, AUTH, 1.0) is None
    assert cookie != key and len(cookie) == len(key) == 43


def test_a_token_that_only_reads_now_ends_sessions_that_change() -> None:
    store = SessionStore()
    _, cookie, _ = store.create(TOKEN, "ops", True, 0.0)
    demoted = AdminAuth(read_only_tokens=(AdminToken("ops", TOKEN),))
    assert store.of_cookie(cookie, demoted, 1.0) is None


def test_memory_has_no_secret() -> None:
    store = SessionStore()
    session, cookie, key = store.create(TOKEN, "ops", True, 0.0)
    assert cookie not in repr(session) and key not in repr(session)


def test_what_has_ended_makes_room_when_another_comes() -> None:
    store = SessionStore()
    for number in range(5):
        store.create(TOKEN, "ops", True, float(number))
    store.create(OTHER, "ci", False, IDLE_S + 10)
    assert len(store) == 1
