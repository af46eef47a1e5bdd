"""Field names, special fields, and no matches outside of field lines."""

import pytest
from head_grammar import in_one_byte_more
from hypothesis import given
from hypothesis import strategies as st

from balance.http1 import fields
from balance.http1.fields import (
    AUTHORIZATION,
    MALFORMED,
    PROTECTED,
    Kind,
    field_value,
    is_allowed_in_trailers,
    is_connection_auth,
    is_field_name,
    kind_of_name,
    list_members,
    malformed_line,
    options,
    remove_lines,
    remove_named,
    special_fields,
)


def block(*lines: bytes) -> bytes:
    """The field lines of a head as they are searched: from the LF before them to the empty line."""
    return b"\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def kinds(*lines: bytes) -> list[Kind]:
    return [Kind(kind) for kind, _, _ in special_fields(block(*lines))]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"Host", Kind.HOST),
        (b"Content-Length", Kind.CONTENT_LENGTH),
        (b"Transfer-Encoding", Kind.TRANSFER_ENCODING),
        (b"Connection", Kind.CONNECTION),
        (b"Proxy-Connection", Kind.HOP),
        (b"Proxy-Authorization", Kind.HOP),
        (b"HTTP2-Settings", Kind.HOP),
        (b"Keep-Alive", Kind.KEEP_ALIVE),
        (b"TE", Kind.TE),
        (b"Upgrade", Kind.UPGRADE),
        (b"Expect", Kind.EXPECT),
        (b"Forwarded", Kind.FORWARDING),
        (b"X-Real-IP", Kind.FORWARDING),
        (b"X-Forwarded-Port", Kind.FORWARDING),
        (b"X-Forwarded-Prefix", Kind.FORWARDING),
        (b"X-Forwarded-Ssl", Kind.FORWARDING),
        (b"X-Forwarded-Foo.1", Kind.FORWARDING),
        (b"X-Forwarded-", Kind.FORWARDING),
        (b"X-Forwarded-User_Name", Kind.UNDERSCORE),
        (b"X-Request-Id", Kind.REQUEST_ID),
        (b"Max-Forwards", Kind.MAX_FORWARDS),
        (b"Content_Length", Kind.UNDERSCORE),
        (b"_", Kind.UNDERSCORE),
    ],
)
def test_field_means_the_same_however_its_name_is_spelled(name: bytes, kind: Kind) -> None:
    for spelled in (name, name.lower(), name.upper()):
        assert kinds(b"X: y", spelled + b":z", b"Y: z") == [kind]


@pytest.mark.parametrize(
    "line",
    [
        b"X-ForwardedFoo: 1",
        b"Y-X-Forwarded-For: 1",
        b"X-Forwarded: 1",
        b"Hostx: a",
        b"X-Host: a",
        b"X: Host: a",
        b"X: a, Content-Length: 5",
        b"X: \thost:a",
        b"TE-X: y",
        b"!#$%&'*+-.^`|~: y",
        b"X: a_b:c",
        b"Hos\xe4t: a",
        b"Host : a",
        b" Host: a",
    ],
)
def test_field_of_another_name_means_nothing(line: bytes) -> None:
    assert kinds(line) == []


def test_fields_come_in_their_order_with_their_values_and_lines() -> None:
    lines = block(b"B_C: 1", b"X: y", b"Host: \t A.b \t", b"te:", b"Host:c")
    assert [(kind, value, lines[start:end]) for kind, value, (start, end) in special_fields(lines)] == [
        (Kind.UNDERSCORE, b"B_C", b"B_C: 1\r\n"),
        (Kind.HOST, b"A.b", b"Host: \t A.b \t\r\n"),
        (Kind.TE, b"", b"te:\r\n"),
        (Kind.HOST, b"c", b"Host:c\r\n"),
    ]


def test_a_name_has_the_kind_of_its_lines() -> None:
    names = {line.partition(b":")[0] for line in in_one_byte_more()}
    assert [name for name in names if (kind_of_name(name) == MALFORMED) is is_field_name(name)] == []
    for name in names:
        if is_field_name(name) and name.lower() != b"authorization":
            assert kinds(name + b": x") == [Kind(kind) for kind in [kind_of_name(name)] if kind], name
    assert {kind_of_name(name) for name in (b"authorization", b"Authorization", b"AUTHORIZATION")} == {AUTHORIZATION}


@pytest.mark.parametrize("scheme", [b"NTLM", b"nego", b"Kerberos", b"CREDSSP", b"Basic", b"Bearer", b"kerb", b"x", b""])
def test_an_authorization_is_one_of_the_connection_by_its_value(scheme: bytes) -> None:
    for before in (b"", b" ", b"\t", b"  ", b" \t", b"n"):
        for value in (before + scheme, before + scheme + b" x", before + scheme + b"x"):
            assert kinds(b"Authorization:" + value) == ([Kind.CONNECTION_AUTH] if is_connection_auth(value) else [])


_lines = st.sampled_from([b"Host: a", b"X: y", b"TE: x", b"X_Y: z", b"Connection: a", b"Y: host: b", b"Upgrade:", b"Z:"])


@given(st.lists(_lines, max_size=8))
def test_taking_out_what_was_found_leaves_the_other_lines_as_they_came(lines: list[bytes]) -> None:
    whole = block(*lines)
    left = remove_lines(whole, [line for _, _, line in special_fields(whole)])
    plain = [line for line in lines if line in (b"X: y", b"Y: host: b", b"Z:")]
    assert left == b"".join(line + b"\r\n" for line in plain)
    assert remove_lines(whole, []) == whole[1:-2]


def test_lines_are_left_out_by_their_whole_name() -> None:
    lines = b"X: 1\r\nx:2\r\nXY: 3\r\nY: x\r\n"
    assert remove_named(lines, {b"x"}) == b"XY: 3\r\nY: x\r\n"
    assert remove_named(lines, {b"x:", b"1"}) == lines


@pytest.mark.parametrize("byte", [*range(0x21), *b'"(),/:;<=>?@[\\]{}', *range(0x7F, 0x100)])
def test_name_with_a_byte_that_is_in_no_token_is_no_name(byte: int) -> None:
    for name in (bytes([byte]), b"X" + bytes([byte]), bytes([byte]) + b"X"):
        assert not is_field_name(name)
    assert is_field_name(b"!#$%&'*+-.^_`|~09azAZ")
    assert not is_field_name(b"")


@pytest.mark.parametrize(
    "line", [b"X", b"", b": y", b"X : y", b" X: y", b"X\x00: y", b"X: \x00", b"X: a\x7f", b"X: a\x0bb", b"X: a\x1f", b"(: y"]
)
def test_line_that_is_no_field_is_found(line: bytes) -> None:
    assert malformed_line(block(b"A: b", line, b"C: d")) == line


@pytest.mark.parametrize("lines", [(), (b"X:",), (b"X: \xff\t ", b"Y_Z:::")])
def test_lines_that_are_fields_are_not_malformed(lines: tuple[bytes, ...]) -> None:
    assert malformed_line(block(*lines)) is None


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([b"close"], [b"close"]),
        ([b"Zeta, alpha ,\tZETA", b"beta"], [b"Zeta", b"alpha", b"beta"]),
        ([b",, ,", b""], []),
        ([b"a;b=c, d"], [b"a;b=c", b"d"]),
    ],
)
def test_members_of_a_list_come_once_and_in_their_order(values: list[bytes], found: list[bytes]) -> None:
    assert list_members(values) == found
    assert options(values) == options(values) == {member.lower() for member in found}


def test_options_that_a_peer_invents_fill_no_memory() -> None:
    for number in range(1000):
        assert options([b"invented-%d" % number]) == {b"invented-%d" % number}
    options([b"x" * 10_000])
    assert len(fields._option_sets) <= 256
    assert max(map(len, fields._option_sets)) <= 64


@pytest.mark.parametrize("name", sorted(PROTECTED))
def test_what_connection_may_not_take_away_may_not_come_in_a_trailer(name: bytes) -> None:
    assert not is_allowed_in_trailers(name)
    assert not is_allowed_in_trailers(name.title())


def test_trailers_of_no_special_meaning_may_pass() -> None:
    assert is_allowed_in_trailers(b"X-Checksum")
    assert is_allowed_in_trailers(b"grpc-status")


def test_value_of_a_field_is_found_by_its_whole_name() -> None:
    lines = b"Hosts: no\r\nHost:  a\xe9 \r\nHost: b\r\nEmpty:\r\n"
    assert (field_value(lines, b"host"), field_value(lines, b"empty"), field_value(lines, b"x")) == ("aé", "", "")
