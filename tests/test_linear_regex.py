"""Regular expressions in linear time: what they match, what is refused and why."""

import subprocess
import sys

import pytest

from balance import linear_regex
from balance.linear_regex import MAX_LENGTH, parse_replacement


@pytest.mark.parametrize(
    ("pattern", "data", "found"),
    [
        ("^/v[0-9]+/", b"/v12/users", True),
        ("^/v[0-9]+/", b"/x/v12/users", False),
        ("v[0-9]+", b"/x/v12", True),
        ("^.$", b"\xff", True),  # a byte, not a character
        ("^..$", "ä".encode(), True),
        ("ä", "/ä".encode(), True),
        ("(?i)admin", b"/ADMIN", True),
        ("a$", b"a\n", False),  # unlike Python's
        ("", b"", True),
        ("(a+)+$", b"a" * 8000 + b"!", False),
    ],
)
def test_bytes_are_searched(pattern: str, data: bytes, found: bool) -> None:
    assert linear_regex.compile(pattern).search(data) is found


def test_groups_are_bytes_and_those_without_a_part_are_empty() -> None:
    pattern = linear_regex.compile(r"^/(v\d+)/(x)?(.*)")
    assert pattern.find(b"/v1/\xff") == (0, 5, (b"/v1/\xff", b"v1", b"", b"\xff"))
    assert pattern.find(b"/w") is None
    assert pattern.groups == 3


@pytest.mark.parametrize(
    ("pattern", "replacement", "parts"),
    [
        ("^/api/(v[0-9])/(.*)$", "/$2/$1", (b"/", 2, b"/", 1)),
        ("a", "$0$0", (0, 0)),
        ("a", "$$1", (b"$", b"1")),
        ("(a)|(b)", "<$1$2>", (b"<", 1, 2, b">")),
        ("a", "", ()),
        ("a", r"\1\n", (b"\\1\\n",)),  # a backslash is nothing special
    ],
)
def test_replacements_are_literals_and_numbers_of_groups(
    pattern: str, replacement: str, parts: linear_regex.Replacement
) -> None:
    assert parse_replacement(replacement, linear_regex.compile(pattern)) == parts


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?=a)b", "'(?=a)b' has look-around at character 1, which cannot be matched in linear time and is not supported"),
        ("a(?<!b)", "'a(?<!b)' has look-around at character 2,"),
        (r"(a)\1", r"'(a)\\1' has a back-reference at character 4,"),
        ("a++", "'a++' has possessive matching at character 2,"),
        ("/x(a", "'/x(a' is no regular expression: missing ): /x(a (RE2 syntax)"),
        ("/x[z-a]", "'/x[z-a]' is no regular expression: invalid character class range: z-a at character 4 (RE2 syntax)"),
        ("*a", "'*a' is no regular expression: no argument for repetition operator: * at character 1 (RE2 syntax)"),
        ("(a{100}){100}", "invalid repetition size: {100}"),
        ("(.{50}){10}x{90}", "is too large: 1114 steps, and 500 are allowed; a repetition like {1,60} counts as often as it"),
        (".*a.{79}c", "'.*a.{79}c' is too large: 81 steps besides its literals, and 80 are allowed; "),
        ("[ab]*a[ab]{140}c", "is too large: "),
        (".*a" + "(a|b)" * 130 + "c", "is too large: "),
        (".*a" + "." * 130 + "c", "is too large: "),
        (".*a" + r"\d" * 130 + "c", "is too large: "),
        ("a?" * 130, "is too large: "),
        ("([a-z]{1,20}/){4}", "is too large: "),
        ("a" * (MAX_LENGTH + 1), "a regular expression has at most 1000 characters, and this one 1001"),
    ],
)
def test_what_is_refused_says_why(pattern: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        linear_regex.compile(pattern)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


WORDS = "googlebot|bingbot|yandexbot|duckduckbot|baiduspider|facebookexternalhit|twitterbot|linkedinbot|applebot|semrushbot"


@pytest.mark.parametrize(
    "pattern",
    [
        "^/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "^/sha256/[0-9a-f]{64}$",
        "^/[a-z0-9-]{1,32}/",
        r"\.(css|js|png|jpe?g|gif|svg|ico|woff2?|ttf|eot|map|webp|avif|mp4)$",
        f"(?i)({WORDS}|{WORDS.replace('bot', 'crawler')})",
        r"^/\x{7f}\pN[^]{900}]\{900}[[:alpha:]{900}]",
        "^/" + "long/" * 90,
    ],
)
def test_what_people_write_is_taken(pattern: str) -> None:
    linear_regex.compile(pattern)


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        ("/$3", "'/$3': $3 is no group of '(a)(b)', which has 2 groups"),
        ("/$x", "'/$x': write $1 to $9 for a group, $0 for the whole match, or $$ for a dollar sign"),
        ("/$", "'/$': write $1 to $9 for a group"),
    ],
)
def test_a_replacement_names_only_groups_that_there_are(replacement: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_replacement(replacement, linear_regex.compile("(a)(b)"))
    assert message in str(caught.value)


def test_it_is_re2_that_matches_and_it_is_imported_by_the_first_pattern() -> None:
    """What bounds the time is the library: its documented guarantee, and a bound on the size of a program."""
    code = (
        "import sys; from balance import linear_regex; assert 're2' not in sys.modules; "
        "p = linear_regex.compile('a'); assert 're2' in sys.modules; "
        "assert type(p._compiled).__module__ == 're2', type(p._compiled).__module__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_match_is_found_with_its_place_and_groups() -> None:
    pattern = linear_regex.compile("(a)(x)?b")
    assert pattern.find(b"..ab..ab") == (2, 4, (b"ab", b"a", b""))
    assert pattern.find(b"a") is None
