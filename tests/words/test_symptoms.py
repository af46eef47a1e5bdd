"""The table of symptoms leads to every `why`; tests/process/test_symptom_commands.py runs its commands."""

from collections import Counter

from balance.model import Why
from balance.words.symptoms import SYMPTOMS


def test_every_word_is_among_those_of_one_symptom() -> None:
    counts = Counter(why for symptom in SYMPTOMS for why in symptom.words)
    assert set(counts) == set(Why) - {Why.OK}
    assert max(counts.values()) == 1


def test_every_symptom_has_a_command_and_says_what_to_change() -> None:
    assert [symptom.seen for symptom in SYMPTOMS if not symptom.looks or not (symptom.words or symptom.change)] == []
    assert len({symptom.seen for symptom in SYMPTOMS}) == len(SYMPTOMS)
