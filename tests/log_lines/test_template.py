"""A template is checked when it is read, has every field, and no text of a client ends or forges its lines."""

import json
import re

import pytest
from line_records import record

from balance.log_lines.access_record import FIELDS, FailedTry, RareFields
from balance.log_lines.template import template_line

RARE = RareFields("why so", (FailedTry("a", "503", 1.5), FailedTry("b", "x", 2.0)), "rules[0]", "ada", "eu", "us")


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{client} {status}", "192.0.2.1 200"),
        ("a{{b}}{method}c", "a{b}GETc"),
        ("{{{path}}}", "{/}"),
        ("{referer}|{user_agent}", '-|say \\"hi\\"'),
        ("{user_agent:json} {status:json} {referer:json}", '"say \\"hi\\"" 200 ""'),
        ("{queue_ms} {connect_ms:json} {ttfb_ms}", "0.000 1.000 2.000"),
        ("{tries}", "a:503:1.5,b:x:2.0"),
        ("{tries:json}", '[{"backend": "a", "why": "503", "ms": 1.5}, {"backend": "b", "why": "x", "ms": 2.0}]'),
        ("{time} {time:json}", '1970-01-01T00:00:01.500Z "1970-01-01T00:00:01.500Z"'),
        ("{sample} {detail} {user} {rule} {region} {backend_region}", "0.5 why so ada rules[0] eu us"),
    ],
)
def test_template_says_what_its_fields_have(template: str, line: str) -> None:
    made = record(user_agent='say "hi"', rare=RARE)
    assert template_line(template)(made, 1.5, 0.5) == line + "\n"


def test_every_field_can_be_asked_for_in_both_forms() -> None:
    for name in FIELDS:
        for made in (record(), record(rare=RARE)):
            assert template_line(f"{{{name}}}")(made, 0.0, 1.0).strip()
            json.loads(template_line(f"{{{name}:json}}")(made, 0.0, 1.0))


@pytest.mark.parametrize("text", ["\n", "\r\n", '"', "\\", "\x1b[2J", "\0", "\xff", "\u2028", "\u202e", '" 200 "'])
def test_no_text_forges_a_line(text: str) -> None:
    made = record(text, text, text, RareFields(text, user=text), path=text, method=text, version=text, request_id='"')
    names = [name for name in FIELDS if name not in ("tries", "time")]
    line = template_line(" ".join(f'"{{{name}}}"' for name in names))(made, 0.0, 1.0)
    assert line.isascii() and line[:-1].isprintable() and line.endswith("\n")
    assert re.fullmatch(r'("(\\.|[^"\\])*" ?)+\n', line)
    assert len(re.findall(r'"(?:\\.|[^"\\])*"', line)) == len(names)
    whole = "{{" + ", ".join(f'"{name}": {{{name}:json}}' for name in names) + "}}"
    assert json.loads(template_line(whole)(made, 0.0, 1.0))["path"] == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{nothing}", "there is no field {nothing}. Fields are time, client, method, "),
        ("{pth}", "there is no field {pth}; did you mean {path}? Fields are "),
        ("{path", "a single '{' at character 1; write {{ for the brace"),
        ("{path}}", "a single '}' at character 7; write }} for the brace"),
        ("{path:xml}", "{path:xml}: after the colon only json may stand"),
        ("{path!r}", "there is no field {path!r}"),
        ("{}", "there is no field {}"),
        ("{path.__class__}", "there is no field {path.__class__}"),
        (
            "{pth} { {status:xml} {pth} {nothing}",
            "there is no field {pth}; did you mean {path}?; a single '{' at character 7; write {{ for the brace itself; "
            "{status:xml}: after the colon only json may stand, which writes the field as a JSON value; "
            "there is no field {nothing}. Fields are",
        ),
        ("plain", "a template needs fields in braces"),
        ("", "a template needs fields in braces"),
        ("{path}\n", "a template is one line of printable ASCII"),
        ("{path} \u2028", "a template is one line of printable ASCII"),
    ],
)
def test_mistake_is_told_with_what_is_allowed(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as told:
        template_line(template)
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)
