"""Files with one address or range a line."""

import ipaddress

import pytest

from balance.access_lists import list_file
from balance.access_lists.list_file import ListFileError, parse_list

GOOD = b"""\xef\xbb\xbf# of today
10.0.0.0/8\r
192.0.2.1 ; SBL1
\t2001:db8::/32 # a comment
192.0.2.10-192.0.2.12

; the end
1.2.3.4"""


def test_a_list_has_comments_empty_lines_and_any_line_ends() -> None:
    found = parse_list(GOOD)
    assert len(found) == 5
    for text in ("10.9.9.9", "192.0.2.1", "2001:db8::1", "192.0.2.11", "1.2.3.4"):
        assert found.has(ipaddress.ip_address(text).packed), text


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (b"10.0.0.0/8\n10.0.0.1/8\n", 2, "bits set beyond"),
        (b"10.0.0.0/8\n\n010.0.0.1", 3, "not an address"),
        (b"<html>", 1, "not an address"),
        (b"\x1f\x8b\x08\0\0", 1, "not an address"),
        (b"10.0.0.1\0", 1, "not an address"),
        (b"10.0.0.1 10.0.0.2", 1, "not an address"),
        (b"\xff\xfe", 1, "not an address"),
        (b"10.0.0.1\r10.0.0.2", 1, "not an address"),
    ],
)
def test_the_first_wrong_line_is_told(content: bytes, line: int, why: str) -> None:
    with pytest.raises(ListFileError, match=why) as caught:
        parse_list(content)
    assert caught.value.line == line
    assert caught.value.why.isprintable()


def test_an_empty_file_is_an_empty_list() -> None:
    assert not len(parse_list(b""))
    assert not len(parse_list(b"# nobody\n"))


def test_a_list_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_file, "MAX_ENTRIES", 2)
    monkeypatch.setattr(list_file, "MAX_FILE_BYTES", 24)
    parse_list(b"10.0.0.1\n10.0.0.2\n")
    with pytest.raises(ListFileError, match="beyond the 2 entries"):
        parse_list(b"1.0.0.1\n1.0.0.2\n1.0.0.3")
    with pytest.raises(ListFileError, match="larger"):
        parse_list(b"#" * 25)
