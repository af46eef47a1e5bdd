"""What Redis's errors mean."""

import pytest

from balance.shared_store.failures import TEXTS, Failure, StoreError, StoreState, is_of_writes, kind_of_reply


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", Failure.FULL),
        ("MISCONF Redis is configured to save RDB snapshots", Failure.FULL),
        ("NOREPLICAS Not enough good replicas to write.", Failure.FULL),
        ("READONLY You can't write against a read only replica.", Failure.READ_ONLY),
        ("MOVED 3999 127.0.0.1:6381", Failure.CLUSTER),
        ("ASK 3999 127.0.0.1:6381", Failure.CLUSTER),
        ("NOAUTH Authentication required.", Failure.AUTH),
        ("WRONGPASS invalid username-password pair", Failure.AUTH),
        ("ERR invalid password", Failure.AUTH),
        ("ERR Client sent AUTH, but no password is set", Failure.AUTH),
        ("LOADING Redis is loading the dataset in memory", Failure.LOADING),
        ("ERR unknown command", Failure.REFUSED),
        ("", Failure.REFUSED),
    ],
)
def test_an_error_is_known_by_its_first_word(text: str, kind: Failure) -> None:
    assert kind_of_reply(text) is kind


def test_only_who_is_full_or_a_replica_may_still_be_read() -> None:
    assert [kind for kind in Failure if is_of_writes(kind)] == [Failure.FULL, Failure.READ_ONLY]


def test_every_failure_and_state_has_words() -> None:
    assert set(TEXTS) == set(Failure)
    assert str(StoreError(Failure.TIMEOUT, "50 ms")) == "it does not answer in time (50 ms)"
    assert StoreState.READ_ONLY.word == "read_only"
