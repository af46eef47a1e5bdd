from __future__ import annotations

import pytest

from balance.cli.bench.plan import Plan, Target, payload, request_bytes


@pytest.mark.parametrize(
    ("text", "shown", "port"),
    [
        ("localhost:8080", "tcp://localhost:8080", 8080),
        (":8080", "tcp://127.0.0.1:8080", 8080),
        ("[::1]:9", "tcp://[::1]:9", 9),
        ("tcp://h:9/", "tcp://h:9", 9),
        ("http://h", "http://h/", 80),
        ("HTTPS://h/a?b=c#d", "https://h/a?b=c", 443),
        ("http://[::1]:81/", "http://[::1]:81/", 81),
    ],
)
def test_a_target(text: str, shown: str, port: int) -> None:
    target = Target.parse(text)
    assert (str(target), target.port) == (shown, port)


@pytest.mark.parametrize(
    "text",
    [
        "h",
        "h:0",
        "h:x",
        "ftp://h/",
        "http://",
        "http://u:p@h/",
        "http://h/a b",
        "http://h/\u00e4",
        "http://h:99999/",
        "unix:/x",
        "",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Target.parse(text)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ValueError) as e:
        Target.parse("http://u:secret@h/")
    assert "secret" not in str(e.value)


def test_a_request_is_what_was_asked_for_and_no_field_is_twice() -> None:
    plan = Plan(
        Target.parse("http://h:81/x"), 1, method="POST", size=3, fields=(("host", "other"), ("X-A", "b")), is_keepalive=False
    )
    head, _, body = request_bytes(plan).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /x HTTP/1.1"
    assert {"host: other", "X-A: b", "Content-Length: 3", "Connection: close"} <= {*lines}
    assert len([line for line in lines if line.lower().startswith("host:")]) == 1
    assert len(body) == 3


def test_a_payload_is_as_long_as_asked_and_no_part_is_like_the_next() -> None:
    assert [len(payload(size)) for size in (0, 1, 95, 1000)] == [0, 1, 95, 1000]
    assert payload(200)[:40] != payload(200)[40:80]


def test_the_processes_share_everything() -> None:
    plan = Plan(Target.parse("h:1"), 10, requests=7, processes=3)
    assert plan.shares() == [(4, 3), (3, 2), (3, 2)]
