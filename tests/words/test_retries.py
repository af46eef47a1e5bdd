"""Every `retry` word has a row."""

from balance.retry.decision import RetryOutcome
from balance.words.retries import RETRIES


def test_every_word_has_its_row() -> None:
    assert list(RETRIES) == [again for again in RetryOutcome if again.word]


def test_every_row_says_something() -> None:
    assert all(len(row.meaning) > 5 and row.change for row in RETRIES.values())
