"""Which entries a word names."""

import pytest

from balance.cli.explain.lookup import close_to, entries, explain


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("no_healthy", ["why"]),
        ("budget", ["retry"]),
        ("ttfb_ms", ["field of the access log"]),
        ("route", ["field of the access log", "label"]),
        ("breaker", ["event"]),
        ("balance_series_lost_total", ["metric (counter)"]),
        ("BalanceBackendDown", ["alert (warning)"]),
        ("502", ["symptom"]),
        ("grpc_unavailable", ["word of tries"]),
        ("reload", ["event"]),
        ("Latency", ["symptom"]),
        ("nothing-of-ours", []),
    ],
)
def test_a_word_is_found_wherever_it_is_used(word: str, kinds: list[str]) -> None:
    assert [found.kind for found in explain(word)] == kinds


@pytest.mark.parametrize("field", ["why", "retry"])
def test_a_field_of_words_has_them_and_each_is_explained(field: str) -> None:
    (found,) = (each for each in explain(field) if each.kind == "field of the access log")
    words = dict(found.remarks)["words"].split(", ")
    assert len(words) > 8
    assert all(explain(word) for word in words)


def test_what_was_nearly_right_is_offered() -> None:
    assert close_to("no_helthy")[0] == "no_healthy"


def test_every_entry_says_what_it_is() -> None:
    assert all(entry.kind and entry.word and len(entry.meaning) > 3 for entry in entries())
