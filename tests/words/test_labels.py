"""Every label has a row that says what its values are."""

from balance.words.labels import LABELS


def test_every_row_says_something() -> None:
    assert all(len(text) > 5 for text in LABELS.values())
