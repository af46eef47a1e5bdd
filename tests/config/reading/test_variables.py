"""Substitution of ${VARIABLES} in values."""

import pytest

from balance.config.reading.variables import substitute

ENV = {"PORT": "8080", "EMPTY": "", "NESTED": "${PORT}", "FILE": "a b\n", "DOS": "\na\r\n\r\n", "BLANK": "\n"}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("${PORT}", "8080"),
        (":${PORT}", ":8080"),
        ("${NONE:-80}", "80"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("$$", "$"),
        ("$${PORT}", "${PORT}"),
        ("$PORT costs 5$", "$PORT costs 5$"),
        ("${NESTED}", "${PORT}"),
        ("x${FILE}y", "xa by"),
        ("${DOS}", "\na"),
        ("${BLANK:-x}", "x"),
    ],
)
def test_a_variable_becomes_its_value_once(text: str, becomes: str) -> None:
    assert substitute(text, ENV) == becomes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE}", "the variable NONE is not set; set it, or write ${NONE:-default}"),
        ("${PORT", "'${PORT' has no closing brace; write ${NAME}, ${NAME:-default}, or $$ for a $"),
        ("${PORT:=1}", "'${PORT:=1}' is not understood; write ${NAME}, ${NAME:-default}, or $$ for a $"),
        ("${}", "'${}' is not understood; write ${NAME}, ${NAME:-default}, or $$ for a $"),
        ("${1A}", "'${1A}' is not understood; write ${NAME}, ${NAME:-default}, or $$ for a $"),
    ],
)
def test_a_variable_that_has_no_value_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        substitute(text, ENV)
    assert str(caught.value) == message
