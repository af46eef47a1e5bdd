"""Who is refused before a handshake: other protocols, silence, what is no ClientHello, unknown names."""

from __future__ import annotations

import pytest
from client_hellos import hello, real_hello, sni
from pem_files import self_signed
from stage import Stage, serve, until

from balance.model import Mode, Why
from balance.tls.settings import ServerTls

A = self_signed("a.example")
UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"
DECODE_ERROR = b"\x15\x03\x01\x00\x02\x02\x32"
PROTOCOL_VERSION = b"\x15\x03\x01\x00\x02\x02\x46"


def tls(*, strict_sni: bool = False, handshake_timeout_s: float = 10.0) -> ServerTls:
    return ServerTls(True, (A.certificate,), strict_sni=strict_sni, handshake_timeout_s=handshake_timeout_s)


async def test_plain_http_is_answered_in_plain_http(stage: Stage) -> None:
    await stage.open(tls=tls())
    client = await stage.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = await client.reply()
    assert (reply.status, reply.body) == (400, b"This port speaks TLS: use https.\n")
    assert await client.rest() == b""
    await until(lambda: stage.whys == {Why.TLS_NOT_TLS: 1})
    assert not stage.worker.descriptors.clients


@pytest.mark.parametrize("mode", [Mode.HTTP, Mode.TCP])
@pytest.mark.parametrize(
    ("sent", "answer", "why"),
    [
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"", Why.TLS_NOT_TLS),  # PostgreSQL
        (b"\x80\x2e\x01\x00\x02" + bytes(40), PROTOCOL_VERSION, Why.TLS_PROTOCOL),  # SSL 2
        (b"\x16\x03\x01\x00\x00", DECODE_ERROR, Why.TLS_PROTOCOL),  # an empty record
        (hello(sni(b"")), DECODE_ERROR, Why.TLS_PROTOCOL),
        (b"\x16\x03\x01\x40\x00\x01\x00\x50\x00", DECODE_ERROR, Why.TLS_PROTOCOL),  # 20 KB
        (real_hello("b.example"), UNRECOGNIZED_NAME, Why.TLS_UNKNOWN_NAME),
        (real_hello(None), UNRECOGNIZED_NAME, Why.TLS_UNKNOWN_NAME),
        (b"", b"", Why.TLS_ABORTED),
    ],
)
async def test_who_is_refused_learns_why_where_tls_has_a_word(
    stage: Stage, mode: Mode, sent: bytes, answer: bytes, why: Why
) -> None:
    await stage.open(mode=mode, tls=tls(strict_sni=True))
    client = await stage.client()
    await client.send(sent)
    if not sent:
        client.close()
    elif answer:
        assert await client.rest() == answer
    else:
        await client.has_ended()
    await until(lambda: stage.whys == {why: 1})
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize("sent", [b"", b"\x16", real_hello()[:-1]])
async def test_one_time_limit_holds_from_the_first_moment(stage: Stage, sent: bytes) -> None:
    stage.backend(serve(b""))
    await stage.open(tls=tls(handshake_timeout_s=0.3))
    client = await stage.client()
    await client.send(sent)
    await client.has_ended()
    assert stage.whys == {Why.TLS_TIMEOUT: 1}
    await until(lambda: not stage.worker.descriptors.clients)


async def test_a_plain_port_answers_no_tls(stage: Stage) -> None:
    await stage.open()
    client = await stage.client()
    await client.send(real_hello())
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert not any(why.word.startswith("tls_") for why in stage.whys)
