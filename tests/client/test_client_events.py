"""Server-sent events: the parser, and a stream that goes on after lost contact."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from misbehaving_server import answering, json_reply, saying

from balance.client import BadReplyError, BrokenOffError, Client, ContactError, NotAuthorisedError, NotFoundError
from balance.client.events import Message, messages

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def event(number: int, text: str = "x") -> bytes:
    data = f'{{"at": "2026-11-29T13:00:00+00:00", "kind": "worker", "text": "{text}", "restarts": 1}}'
    return f"id: {number}\nevent: worker\ndata: {data}\n\n".encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: a\n\n", [Message("", "message", "a")]),
        (
            "id: 1\nevent: x\ndata: a\ndata: b\n\n: hello\n\ndata:c\n\n",
            [Message("1", "x", "a\nb"), Message("1", "message", "c")],
        ),
        ("data: a\r\n\r\n", [Message("", "message", "a")]),
        ("data: a\n", []),
        ("data: a", []),
        ("event: x\n\ndata: b\n\n", [Message("", "message", "b")]),
        ("id: a\0b\ndata\n\n", [Message("", "message", "")]),
        ("nonsense: 1\nretry: 5\n: c\ndata: a\n\n", [Message("", "message", "a")]),
    ],
)
def test_events_are_read_as_the_standard_says(text: str, expected: list[Message]) -> None:
    lines = iter([*text.splitlines(keepends=True), ""])
    assert list(messages(lambda: next(lines))) == expected


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.client.events.FIRST_PAUSE_S", 0.01)


def test_it_connects_again_and_asks_for_what_came_after_the_last() -> None:
    first = saying(HEAD + event(7, "first") + event(8)[:20])  # breaks off in the middle
    with answering(first, saying(b""), json_reply("{}", "503 Busy"), saying(HEAD + event(8, "second"))) as (address, heads):
        with Client(address).events(5) as events:
            told = [next(events), next(events)]
            assert events.lost_contact_at is None
        assert [(each.number, each.text, each.fields) for each in told] == [
            (7, "first", {"restarts": 1}),
            (8, "second", {"restarts": 1}),
        ]
    asked = [line for head in heads for line in head.split(b"\r\n") if line.startswith(b"Last-Event-ID")]
    assert asked == [b"Last-Event-ID: 5", *[b"Last-Event-ID: 7"] * 3]


def test_the_first_connection_has_to_come_about() -> None:
    with answering(json_reply("{}", "401 No")) as (address, _), pytest.raises(NotAuthorisedError):
        Client(address).events()
    with answering(json_reply("{}")) as (address, _), pytest.raises(BrokenOffError), answering(saying(b"")) as (broken, _):
        Client(broken).events()


@pytest.mark.parametrize(("then", "error"), [(json_reply("{}", "404 No"), NotFoundError), (saying(b""), ContactError)])
def test_what_will_not_get_better_is_an_error(then: object, error: type[Exception]) -> None:
    with answering(saying(HEAD + event(1)), then) as (address, _):  # type: ignore[arg-type]
        events = Client(address).events(patience_s=0.0)
        assert next(events).number == 1
        with pytest.raises(error):
            next(events)


def test_one_connection_alone_ends_with_it() -> None:
    with answering(saying(HEAD + event(1) + event(2))) as (address, _):
        assert [each.number for each in Client(address).events(reconnect=False)] == [1, 2]


def test_an_event_that_is_none_is_told() -> None:
    for data in (b"data: x\n\n", b"id: 1\ndata: []\n\n", b"id: 1\ndata: {}\n\n", b"id: x\ndata: {}\n\n"):
        with answering(saying(HEAD + data)) as (address, _), pytest.raises(BadReplyError, match="/events"):
            next(Client(address).events(reconnect=False))


def test_it_can_be_closed_from_another_thread() -> None:
    def nothing_more(connection: socket.socket, head: bytes) -> None:
        connection.sendall(HEAD + event(1))
        connection.recv(1)

    with answering(nothing_more) as (address, _):
        events = Client(address).events()
        assert next(events).number == 1
        timer = threading.Timer(0.1, events.close)
        timer.start()
        began = time.monotonic()
        assert list(events) == []
        assert time.monotonic() - began < 10.0
        timer.join()
