"""A line that is too long for its output is cut where it is long, and still is a line of its format."""

import json

import pytest
from line_records import record

from balance.log_lines.access_record import FailedTry, RareFields
from balance.log_lines.line_formats import combined_line, json_line
from balance.log_lines.shortened import shortened


@pytest.mark.parametrize("longest", [4096, 2048])
@pytest.mark.parametrize("char", ["x", "\u2028", '"'])
def test_longest_texts_are_cut_and_the_line_stays_json(longest: int, char: str) -> None:
    text = char * 8000
    tries = [FailedTry("b" * 60, "connect_refused", 1.0)] * 50
    made = record(
        text, text, text, RareFields(text, tries, user=text), path=text, method=text, version=text, request_id="i" * 128
    )
    line = shortened(made, 0.0, 1.0, json_line, longest)
    assert len(line) <= longest and line.endswith("\n")
    said = json.loads(line)
    assert said["path"].startswith(char) and said["path"].endswith("...")
    assert said["status"] == 200 and said["backend"] == "b"
    assert len(shortened(made, 0.0, 1.0, combined_line, longest)) <= longest


def test_what_can_not_be_shortened_enough_is_cut_off() -> None:
    line = shortened(record(), 0.0, 1.0, json_line, 100)
    assert len(line) == 100 and line.endswith("\n")
