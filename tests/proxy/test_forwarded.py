"""Real connections of proxies and clients: whose request it is to the backend, to the hash, to the sessions and to the log."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Any

import pytest
from rawclient import Message, get, ok
from stage import Stage, serve, until

from balance.config.model import AccessLog, HttpConfig, SessionAffinity

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
CLIENTS = 40


async def opened(stage: Stage, count: int = 1, **given: Any) -> list[Message]:
    """What backends get, as they get it; each answers with its name."""
    seen: list[Message] = []

    def answering(name: bytes) -> Callable[[Message], bytes]:
        def answer(request: Message) -> bytes:
            seen.append(request)
            return ok(name)

        return answer

    for number in range(1, count + 1):
        stage.backend(serve(answering(b"b%d" % number)))
    await stage.open(**given)
    return seen


async def ask(stage: Stage, *fields: str) -> Message:
    client = await stage.client()
    await client.send(get("/", *fields))
    return await client.reply()


def told(request: Message) -> dict[str, str]:
    """The fields that speak of the client."""
    return {name.lower(): value for name, value in request.fields if name.lower().startswith(("x-forw", "x-real", "forw"))}


async def test_a_client_of_a_unix_socket_is_told_of_without_an_address_and_a_port(stage: Stage) -> None:
    seen = await opened(stage, listen=str(stage.folder / "b.sock"))
    assert (await ask(stage, "X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4")).status == 200
    assert told(seen[0]) == {"x-forwarded-proto": "http", "x-forwarded-host": "a.example"}


async def test_a_proxy_on_a_unix_socket_is_believed_where_unix_is_trusted(stage: Stage) -> None:
    seen = await opened(stage, listen=str(stage.folder / "b.sock"), trusted=("unix",))
    await ask(stage, "X-Forwarded-For: 6.6.6.6, 192.0.2.1", "X-Forwarded-Proto: https")
    assert told(seen[0]) == {
        "x-forwarded-for": "6.6.6.6, 192.0.2.1",
        "x-real-ip": "192.0.2.1",
        "x-forwarded-proto": "https",
        "x-forwarded-port": "443",
        "x-forwarded-host": "a.example",
    }
    await ask(stage)
    assert told(seen[1]) == {"x-forwarded-proto": "http", "x-forwarded-host": "a.example"}


async def test_clients_that_send_the_same_are_each_told_of_as_they_come(stage: Stage) -> None:
    """Whether one asks again and again, or they take turns."""
    seen = await opened(stage)
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    clients = {address: await stage.client(source=address) for address in addresses}
    order = [addresses[0]] * 4 + [addresses[1]] * 3 + list(addresses) * 3 + [addresses[2]] * 2
    for number, address in enumerate(order):
        await clients[address].send(get(f"/{number}"))
        assert (await clients[address].reply()).status == 200
    assert [told(request)["x-forwarded-for"] for request in seen] == order
    assert [request.target for request in seen] == [f"/{number}" for number in range(len(order))]
    assert len({request.get("x-request-id") for request in seen}) == len(order)
    assert {tuple(name for name, _ in request.fields) for request in seen} == {tuple(name for name, _ in seen[0].fields)}


BELIEVED = ("X-Forwarded-Prefix: /a", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl", "X-Forwarded-User: admin")


async def test_nothing_that_an_untrusted_client_says_of_itself_reaches_a_backend(stage: Stage) -> None:
    seen = await opened(stage)
    assert (await ask(stage, *BELIEVED)).status == 200
    assert set(told(seen[0])) == {
        "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host"
    }  # fmt: skip


async def test_what_else_a_trusted_proxy_says_of_the_client_reaches_the_backend(stage: Stage) -> None:
    seen = await opened(stage, trusted=(ipaddress.ip_network("127.0.0.0/8"),))
    assert (await ask(stage, *BELIEVED)).status == 200
    assert {name: value for name, value in told(seen[0]).items() if name in " ".join(BELIEVED).lower()} == {
        "x-forwarded-prefix": "/a", "x-forwarded-ssl": "on", "x-forwarded-protocol": "ssl", "x-forwarded-user": "admin",
        "x-forwarded-proto": "http",
    }  # fmt: skip


async def test_unix_is_no_network_and_a_network_no_unix_socket(stage: Stage) -> None:
    seen = await opened(stage, trusted=("unix",))
    await ask(stage, "X-Forwarded-For: 192.0.2.1")
    assert told(seen[0])["x-forwarded-for"] == "127.0.0.1"


async def test_a_unix_peer_is_not_believed_for_the_sake_of_a_network(stage: Stage) -> None:
    seen = await opened(stage, listen=str(stage.folder / "b.sock"), trusted=(ipaddress.ip_network("0.0.0.0/0"),))
    await ask(stage, "X-Forwarded-For: 192.0.2.1")
    assert "x-forwarded-for" not in told(seen[0])


@pytest.mark.parametrize(
    ("family", "written"),
    [
        ("xff", "X-Forwarded-For: 192.0.2.{}:4567"),
        ("xff", "X-Forwarded-For: 192.0.2.{}, "),
        ("xff", "X-Forwarded-For: 192.0.2.{}, 127.0.0.9:1234"),
        ("xff", "X-Forwarded-For: ::ffff:192.0.2.{}"),
        ("xff", "X-Forwarded-For: [2001:db8:0:{}::1]:99"),
        ("xff", "X-Forwarded-For: 2001:db8:0:{}::1"),
        ("xff", "X-Forwarded-For: fe80:0:0:{}::1%eth0"),
        ("rfc7239", 'Forwarded: for="[2001:db8:0:{}::1]:99";proto=https'),
        ("rfc7239", "Forwarded: for=192.0.2.{}:4567"),
    ],
)
async def test_each_client_behind_a_proxy_is_hashed_for_itself_however_it_is_written(
    stage: Stage, family: str, written: str
) -> None:
    await opened(stage, 4, trusted=LOOPBACK, algorithm="maglev", client_address=family)
    first = [(await ask(stage, written.format(number))).body for number in range(CLIENTS)]
    again = [(await ask(stage, written.format(number))).body for number in range(CLIENTS)]
    assert first == again
    assert len(set(first)) == 4


async def test_an_entry_that_can_not_be_read_is_said_once_and_makes_nobody_the_proxy(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    seen = await opened(stage, trusted=LOOPBACK, access=to_file(stage))
    for number in range(CLIENTS):
        await ask(stage, f"X-Forwarded-For: client-{number}")
    assert "x-real-ip" not in told(seen[0])
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "from a trusted proxy (127.0.0.1): X-Forwarded-For: 'client-0' is no address: nobody knows whose request it is"
    ]
    assert {line["client"] for line in await logged(stage, CLIENTS)} == {"unknown"}


async def test_sessions_by_address_are_those_of_the_clients_behind_a_unix_socket(stage: Stage) -> None:
    affinity = SessionAffinity(enabled=True, mode="source-ip")
    await opened(stage, 3, listen=str(stage.folder / "b.sock"), trusted=("unix",), affinity=affinity)
    homes = [(await ask(stage, f"X-Forwarded-For: 10.1.0.{number}:80")).body for number in range(6)]
    assert len(set(homes)) == 3
    assert homes == [(await ask(stage, f"X-Forwarded-For: 10.1.0.{number}:81")).body for number in range(6)]


async def test_the_access_log_names_the_same_client_also_of_what_ends_here(stage: Stage) -> None:
    await opened(stage, trusted=LOOPBACK, access=to_file(stage))
    await ask(stage, "X-Forwarded-For: 192.0.2.7:80")
    client = await stage.client()
    await client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.8\r\nMax-Forwards: 0\r\n\r\n")
    await client.reply()
    assert [line["client"] for line in await logged(stage, 2)] == ["192.0.2.7", "192.0.2.8"]


async def test_the_family_that_is_not_believed_is_dropped(stage: Stage) -> None:
    seen = await opened(stage, trusted=LOOPBACK, client_address="rfc7239", http=HttpConfig(forwarded="both"))
    await ask(stage, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Real-IP: 6.6.6.6", "Forwarded: for=192.0.2.1")
    assert told(seen[0])["x-forwarded-for"] == "192.0.2.1, 127.0.0.1"
    assert told(seen[0])["x-real-ip"] == "192.0.2.1"
    assert told(seen[0])["x-forwarded-proto"] == "http"
    assert told(seen[0])["forwarded"] == 'for=192.0.2.1, for=127.0.0.1;proto=http;host="a.example"'


@pytest.mark.parametrize("trusted", [(), LOOPBACK])
async def test_a_request_of_http_1_0_without_a_host_goes_on_with_where_it_came_to(stage: Stage, trusted: Any) -> None:
    seen = await opened(stage, trusted=trusted)
    client = await stage.client()
    await client.send(b"GET /a HTTP/1.0\r\nX: y\r\n\r\n")
    assert (await client.reply()).status == 200
    here = f"127.0.0.1:{stage.address.port}"
    assert seen[0].line == "GET /a HTTP/1.1"
    assert seen[0].all("host") == [here]
    assert told(seen[0])["x-forwarded-host"] == here
    assert seen[0].get("x") == "y"


async def test_such_a_request_over_a_unix_socket_is_for_localhost(stage: Stage) -> None:
    seen = await opened(stage, listen=str(stage.folder / "b.sock"))
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    await client.reply()
    assert seen[0].all("host") == ["localhost"]


async def test_such_a_request_over_ipv6_is_for_its_address_in_brackets(stage: Stage) -> None:
    seen = await opened(stage, listen="::1")
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    await client.reply()
    assert seen[0].all("host") == [f"[::1]:{stage.address.port}"]


def to_file(stage: Stage) -> AccessLog:
    return AccessLog(enabled=True, output=str(stage.folder / "access.log"))


async def logged(stage: Stage, count: int) -> list[dict[str, object]]:
    path = stage.folder / "access.log"
    await until(lambda: path.read_text().count("\n") >= count)
    return [json.loads(line) for line in path.read_text().splitlines()]
