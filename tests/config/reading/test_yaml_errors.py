"""Syntax errors in YAML get a message about the mistake at its own line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config import load_text
from balance.errors import ConfigError

TOP = 'mode: http\nlisten: ":8080"\n'
REST = "backends:\n  - address: 127.0.0.1:9001\n"
EXAMPLES = Path(__file__).resolve().parents[3] / "deployments" / "examples"
QUOTE = "is a typographic quote"


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_text(text, "f.yaml", {})
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOP + "backends:\n\t- address: a:1\n", "4:1: a tab stands in the indentation; YAML indents with spaces alone"),
        (TOP + REST + "\t  weight: 2\n", "5:1: a tab stands in the indentation; YAML indents with spaces alone"),
        (TOP + REST + "timeouts:\n \tread: 5s\n", "6:2: a tab stands in the indentation; YAML indents with spaces alone"),
        (TOP + "backends:\n  -\taddress: a:1\n", "4:4: a tab stands in the indentation; YAML indents with spaces alone"),
        ("mode: http\nlisten: \u201c:8080\u201d\n", f"2:9: listen: \u201c {QUOTE}"),
        ("mode: \u2018http\u2019\n", f"1:7: mode: \u2018 {QUOTE}"),
        ("\u201cmode\u201d: http\n", f"1:1: \u201cmode\u201d: \u201c {QUOTE}"),
        ("mode: http\nlisten: [\u00ab:1\u00bb]\n", f"2:10: listen[0]: \u00ab {QUOTE}"),
        ("mode: http\nlisten:\u00a0:8080\n" + REST, "2:8: a no-break space (U+00A0) stands here; write a plain space"),
        (TOP + "backends:\n\u00a0 - address: a:1\n", "4:1: '\\xa0 - address': a no-break space (U+00A0) stands here"),
        (TOP + "backends:\n  \u2013 address: a:1\n", "4:3: backends.\u2013 address: \u2013 is a dash of print; an item of "),
        ("mode\uff1ahttp\nlisten: :8080\n", "1:5: \uff1a is no colon to YAML; write a plain one: :"),
        ("mode: http\nlisten::8080\n" + REST, "2:8: a space is missing behind the colon: write listen: ..."),
        ('mode: http\nlisten:":8080"\n' + REST, "2:8: a space is missing behind the colon: write listen: ..."),
        ("mode:http\nlisten: :8080\n" + REST, "1:6: a space is missing behind the colon: write mode: ..."),
        (REST + "mode:http\n", "3:6: a space is missing behind the colon: write mode: ..."),
        (TOP + "# one\nmode:http\n# two\n\nworkers: 1\n", "4:6: a space is missing behind the colon: write mode: ..."),
        (TOP + "backends:\n  - address:127.0.0.1:9001\n", "4:5: backends[0]: a space is missing behind the colon: write add"),
        (TOP + "backends:\n  - address:a:1\n    weight: 2\n", "4:13: a space is missing behind the colon: write address: .."),
        (TOP + "backends: [{address: a:1, weight:2}]\n", "3:27: backends[0].weight:2: a space is missing behind the colon: "),
        (TOP + "backends:\n  -address: a:1\n", "4:3: backends: a space is missing behind the hyphen: write - address: ..."),
        ("mode http\nlisten: :8080\n" + REST, "1:1: a key needs a colon and a space behind it: write mode: ..."),
        ("mode: http\nlisten :8080\n" + REST, "2:1: a key needs a colon and a space behind it: write listen: ..."),
        (TOP + REST + "workers 2\n", "5:1: a key needs a colon and a space behind it: write workers: ..."),
        (TOP + REST + "    name: web: one\n", "5:11: the value of 'name' has a colon and a space in it; put it in quotes"),
        (TOP + REST + "     weight: 2\n", "5:6: 'weight' is indented deeper than the line above, which has a value already"),
        ("mode: http\n listen: :8080\n", "2:2: 'listen' is indented deeper than the line above, which has a value already; "),
        (TOP + REST + "   weight: 2\n", "5:4: a list began at line 4: write '- ' for its next item, or indent a key of the "),
        (TOP + "backends:\n- address: a:1\n  - address: b:1\n", "5:3: an item of a list stands out of line; items of one li"),
        ("  mode: http\nlisten: :8080\n", "2:1: this is out of line with what stands above; keys at the top begin in the fi"),
        ("mode: http\nlisten: [a:8080\n" + REST, "2:9: the [ that opens here is never closed: ] is missing"),
        ("mode: http\nlisten: [:8080]\n" + REST, "2:10: inside [ ] and { } a value that begins with a colon needs quotes"),
        ("mode: http\nlisten: [a:8080]]\n" + REST, "2:17: this ] closes nothing"),
        (TOP + REST + "timeouts: {read: 5s}}\n", "5:21: this } closes nothing"),
        ('{"mode": "http" "listen": ":1"}\n', "1:17: a comma, or the } that ends what began at line 1, is missing before th"),
        (TOP + "backends: [\n  {address: a:1}\n  {address: b:1}\n]\n", "5:3: a comma, or the ] that ends what began at lin"),
        ('mode: http\nlisten: ":8080\n' + REST, '2:9: the quote that opens here is never closed: "'),
        (TOP + "backends: [{address: ${HOST}:1}]\n", '3:23: inside { } a value with braces needs quotes: "${NAME}"'),
        (TOP + "backends:\n  - address: *:9001\n", "4:14: * at the beginning of a value names an anchor; put a value that b"),
        (TOP + "workers: !int 2\n", "3:10: the tag '!int' is not supported; write the value alone"),
        ("mode: http\nlisten: @8080\n", "2:9: a value can't begin with @; put it in quotes"),
        ("mode: http\nlisten: %:8080\n", "2:9: a value can't begin with %; put it in quotes"),
        ("[server]\nlisten = :8080\n", "1:1: this is no YAML, where a section is a key with a colon: server:"),
        ('mode: "ht\\tp\\q"\n', "1:13: a backslash can't stand before this; write two, or '...' around the text"),
    ],
)  # fmt: skip
def test_what_people_write_wrong_is_named_where_they_wrote_it(text: str, message: str) -> None:
    (first, *_) = problems_of(text)
    assert first.startswith(f"f.yaml:{message}"), first


@pytest.mark.parametrize(
    "text", ["mode:\thttp\n", "mode: http\t# a tab\n", "# \u201cfine\u201d\nmode: http\n", "mode: 'http'\n"]
)
def test_tabs_and_quotes_that_do_no_harm_are_left_alone(text: str) -> None:
    assert load_text(text + 'listen: ":8080"\n' + REST, "f.yaml", {}).config.listeners


def test_a_quoted_value_may_have_any_character() -> None:
    text = TOP + "backends: [{address: a:1, metadata: {title: '\u201cMain\u201d'}}]\n"
    assert load_text(text, "f.yaml", {}).config.pools[0].backends[0].metadata == (("title", "\u201cMain\u201d"),)


FULL = (EXAMPLES / "several-listeners.yaml").read_text()
PARSER_WORDS = ("did not find", "could not find", "found ", "while scanning", "while parsing", "not allowed in this context")


EDITS = ["", "\t", ":", '"', "[", "}", "- ", " ", "\n", "\u201c", "*", "\r"]


@given(st.lists(st.tuples(st.integers(0, len(FULL)), st.sampled_from(EDITS)), min_size=1, max_size=3))
def test_a_file_with_any_slip_gets_no_word_of_the_parser_and_no_traceback(edits: list[tuple[int, str]]) -> None:
    text = FULL
    for position, edit in edits:
        text = text[:position] + edit + text[position + (not edit) :]
    try:
        load_text(text, "f.yaml", {})
    except ConfigError as error:
        for problem in error.problems:
            assert not any(words in problem.message for words in PARSER_WORDS), problem
            assert 0 < problem.line <= text.count("\n") + text.count("\r") + 2
