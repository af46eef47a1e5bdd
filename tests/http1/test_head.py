"""The defaults of unparsed heads are safe."""

import pytest

from balance.http1.framing import Framing
from balance.http1.head import Request, RequestFields, Response


def test_fields_that_nobody_filled_in_ask_for_nothing() -> None:
    fields = RequestFields()
    assert (fields.framing, fields.length, fields.host) == (Framing.NONE, 0, None)
    assert not any((fields.upgrade, fields.expects_continue, fields.forwarding, fields.connection, fields.forward))


def test_request_goes_further_unless_it_says_otherwise() -> None:
    assert not Request(b"GET", b"/", 1, b"GET / HTTP/1.1\r\n", RequestFields(), True).ends_here


def test_reply_that_nobody_filled_in_keeps_no_connection() -> None:
    response = Response(200)
    assert (response.status, response.framing, response.keep_alive) == (200, Framing.NONE, False)


@pytest.mark.parametrize("made", [RequestFields(), Response(200)])
def test_heads_have_room_for_what_they_say_and_no_more(made: RequestFields | Response) -> None:
    with pytest.raises(AttributeError):
        made.note = ""  # type: ignore[union-attr]
