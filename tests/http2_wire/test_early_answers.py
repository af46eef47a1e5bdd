"""A request that is answered before its content has come: the client gets the answer, and no room for more content."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from h2_cases import DATA, END_HEADERS, WINDOW_UPDATE, data, head
from instance_process import Instance
from recording_server import RecordingServer
from smuggling_rows import fields
from socket_talk import SocketTalk

from balance.http2 import errors

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with RecordingServer() as server:
        document = {
            "mode": "http",
            "listen": "127.0.0.1:0",
            "workers": 1,
            "http": {"h2c": True},
            "backends": [{"name": "b", "address": server.address}],
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s"},
        }
        made = Instance(tmp_path_factory.mktemp("early"), json.dumps(document)).ready()
        yield made
        made.destroy()


def test_the_stream_is_reset_behind_the_answer_without_an_error(instance: Instance) -> None:
    with SocketTalk(instance.port) as client:
        client.begin()
        client.send(head(1, fields(b"POST", (b"content-length", b"100000"), path=b"/early/1"), END_HEADERS))
        client.wait("end", 1)
        assert (client.status(1), client.body(1)) == (200, b"POST /early/1")
        place = len(client.frames)
        client.send(data(1, bytes(10_000), 0))
        client.wait("reset", 1)
        assert client.resets[1] == errors.NO_ERROR
        assert not [each for each in client.frames[place:] if each[0] == WINDOW_UPDATE and each[2] == 1]
        assert not [each for each in client.frames[place:] if each[0] == DATA]
        for number in range(20):  # what is under way when the reset comes is no error, and costs the connection no window
            client.send(data(1, bytes(10_000), 0))
            client.send(head(3 + 2 * number, fields(path=b"/next/%d" % number)))
            client.wait("end", 3 + 2 * number)
            assert client.body(3 + 2 * number) == b"GET /next/%d" % number
        assert (
            sum(int.from_bytes(each[3], "big") for each in client.frames if each[0] == WINDOW_UPDATE and not each[2]) > 900_000
        )


def test_a_client_that_ends_its_request_nevertheless_is_not_reset(instance: Instance) -> None:
    with SocketTalk(instance.port) as client:
        client.begin()
        client.send(head(1, fields(b"POST", path=b"/early/1"), END_HEADERS) + data(1, b"part", 0))
        client.wait("end", 1)
        client.send(data(1, b"rest") + head(3, fields(path=b"/next")))
        client.wait("end", 3)
        assert client.body(3) == b"GET /next"
        assert client.goaways == []
