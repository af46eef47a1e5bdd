"""Header changes: their order, names in any case, lines that stay lines, and names that may not be changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variables import RequestValues

from balance.config.route_model import HeaderChange
from balance.transform.header_changes import FRAMING, HeaderChanges, problem_of, without

LINES = b"Host: a\r\nX-One: 1\r\nx-one: 2\r\nX-Two: 3\r\n"


def changes(*told: tuple[str, ...], is_request: bool = True) -> HeaderChanges:
    return HeaderChanges([HeaderChange(*each) for each in told], is_request=is_request)


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        ([], LINES),
        ([("add", "X-One", "4")], LINES + b"X-One: 4\r\n"),
        ([("set", "X-ONE", "4")], b"Host: a\r\nX-Two: 3\r\nX-ONE: 4\r\n"),
        ([("remove", "x-One")], b"Host: a\r\nX-Two: 3\r\n"),
        ([("remove", "X-Three")], LINES),
        ([("set", "X-Two", "a"), ("set", "x-two", "b")], b"Host: a\r\nX-One: 1\r\nx-one: 2\r\nx-two: b\r\n"),
        ([("add", "X-New", "a"), ("add", "X-New", "b")], LINES + b"X-New: a\r\nX-New: b\r\n"),
        ([("add", "X-New", "a"), ("remove", "X-New")], LINES),
        ([("remove", "X-Two"), ("add", "X-Two", "b")], b"Host: a\r\nX-One: 1\r\nx-one: 2\r\nX-Two: b\r\n"),
        ([("add", "X-C", "{client_ip}"), ("add", "X-H", "h")], LINES + b"X-C: 192.0.2.1\r\nX-H: h\r\n"),
        ([("set", "X-Two", "{region}")], b"Host: a\r\nX-One: 1\r\nx-one: 2\r\n"),  # not known: no line, and not the client's
        ([("set", "X-Two", "")], b"Host: a\r\nX-One: 1\r\nx-one: 2\r\nX-Two: \r\n"),
    ],
)
def test_changes_apply_in_order(told: list[tuple[str, ...]], sent: bytes) -> None:
    for _ in range(2):  # what is remembered is the same
        assert changes(*told).apply(LINES, RequestValues()) == sent


def test_set_cookie_lines_stay_lines() -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-A: 1\r\nSet-Cookie: b=2, c; Path=/\r\n"
    made = changes(("set", "X-A", "2"), ("add", "Set-Cookie", "d=3"), is_request=False)
    assert made.apply(head, RequestValues()) == (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2, c; Path=/\r\nX-A: 2\r\nSet-Cookie: d=3\r\n"
    )


def test_status_line_is_no_field() -> None:
    head = b"HTTP/1.1 200 X-A: 1\r\nX-A: 1\r\n"
    assert changes(("remove", "X-A"), is_request=False).apply(head, RequestValues()) == b"HTTP/1.1 200 X-A: 1\r\n"


@pytest.mark.parametrize("name", sorted(FRAMING | {b"host"}))
def test_framing_cannot_be_changed(name: bytes) -> None:
    for action in ("add", "set", "remove"):
        change = HeaderChange(action, name.decode().title(), "1")
        problem = f"{name.decode().title()} is for the balancer itself and cannot be changed"
        assert problem_of(change, is_request=True) == problem
        assert problem_of(change, is_request=False) == (problem if name != b"host" else "")
    with pytest.raises(ValueError, match="balancer itself"):
        changes(("remove", name.decode()))


@pytest.mark.parametrize("name", ["", "A B", "A:", "Ä", "A\r\nB", "A\0"])
def test_name_is_a_token(name: str) -> None:
    assert problem_of(HeaderChange("add", name), is_request=True) == f"{name!r} is not the name of a header field"


def test_value_with_a_line_break_is_refused() -> None:
    assert "control character" in problem_of(HeaderChange("add", "X", "1\r\nY: 2"), is_request=False)


def test_lines_with_the_backend_are_made_for_each_try() -> None:
    made = changes(("set", "X-Two", "{backend}"), ("add", "X-H", "h"))
    per_try = made.take_per_try()
    assert per_try is not None
    assert made.apply(LINES, RequestValues()) == b"Host: a\r\nX-One: 1\r\nx-one: 2\r\nX-H: h\r\n"
    assert per_try.added(RequestValues(backend="b1")) == b"X-Two: b1\r\n"
    assert changes(("add", "X-H", "h")).take_per_try() is None


def test_what_is_remembered_is_bounded() -> None:
    names = frozenset((b"x",))
    for number in range(1000):
        assert without(b"X: 1\r\nY: %d\r\n" % number, names) == b"Y: %d\r\n" % number
    long = b"X: 1\r\nY: " + b"y" * 10_000 + b"\r\n"
    assert without(long, names) == long[6:]


_NAME = st.sampled_from(["X-A", "x-a", "X-B", "Set-Cookie", "X-Forwarded-For"])
_CHANGE = st.builds(
    HeaderChange, st.sampled_from(["add", "set", "remove"]), _NAME, st.sampled_from(["v", "{host}", "{region} {client_ip}"])
)
_LINE = st.builds(lambda name, value: name.encode() + b": " + value + b"\r\n", _NAME, st.binary(max_size=5).filter(
    lambda value: b"\r" not in value and b"\n" not in value
))  # fmt: skip


@given(st.lists(_CHANGE, max_size=5), st.lists(_LINE, max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_peer_adds_no_line(told: list[HeaderChange], lines: list[bytes], host: str, region: str) -> None:
    """Each line of the result is one that came or one of a change."""
    made = HeaderChanges(told, is_request=True).apply(b"".join(lines), RequestValues(host=host, region=region))
    added = [change.name.encode() for change in told if change.action != "remove"]
    left = list(lines)
    for line in made.split(b"\r\n")[:-1] if made else []:
        if line + b"\r\n" in left:
            left.remove(line + b"\r\n")
        else:
            added.remove(line.partition(b":")[0])
        assert b"\r" not in line
        assert b"\n" not in line
