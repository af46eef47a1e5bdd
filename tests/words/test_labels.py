"""Every label has a row that says what its values are."""

from balance.admin.metrics.catalog import CATALOG
from balance.words.labels import LABELS


def test_every_label_of_every_metric_has_its_row() -> None:
    assert set(LABELS) == {label for definition in CATALOG for label in definition.labels}


def test_every_metric_says_what_it_is_and_what_to_do() -> None:
    assert [definition.name for definition in CATALOG if len(definition.help) < 5 or not definition.advice] == []


def test_every_row_says_something() -> None:
    assert all(len(text) > 5 for text in LABELS.values())
