"""Certificates of clients: who enters, what backends are told, and that nobody else can tell them."""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from handshakes import client_with
from pem_files import Pair, authority, read, self_signed
from rawclient import Message, Wire, get, ok
from stage import Stage, serve, until
from tls_client import exchange, with_client

from balance.config.model import AccessLog, Config, HttpConfig, ProxyProtocol, TrustedProxy
from balance.config.route_model import HeaderChange, Transform
from balance.model import Mode, Why
from balance.tls.settings import ServerTls

A, B = self_signed("a.example"), self_signed("b.example")
CA, OTHER = authority(), authority("Other CA")
BOB, EVE, GONE = CA.issue("bob", serial=2), OTHER.issue("bob"), CA.issue("gone", days=-1)
FORGED = b"X-SSL-Client-DN: CN=root\r\nx_ssl_client_verify: SUCCESS\r\nX.SSL.Client-Fingerprint: 00\r\nX-SSL-CLIENT: 1\r\n"
BOBS = {"verify": "SUCCESS", "dn": "CN=bob", "issuer-dn": "CN=Test CA", "san": "DNS:bob", "serial": "02"}
LONG = pytest.mark.long
LOOPBACK: tuple[TrustedProxy, ...] = (ip_network("127.0.0.0/8"),)


def tls(client_auth: str = "require-and-verify", crl: Path | None = None, **more: object) -> ServerTls:
    settings = ServerTls(True, (A.certificate, B.certificate), client_auth=client_auth, client_ca_file=read(CA.cert))
    if crl is not None:
        settings = replace(settings, client_crl_file=read(crl))
    return replace(settings, **more)  # type: ignore[arg-type]


def ask(host: bytes = b"a.example", fields: bytes = b"", *, body: bytes = b"") -> bytes:
    method = b"POST" if body else b"GET"
    return b"%b / HTTP/1.1\r\nHost: %b\r\n%bConnection: close\r\n\r\n%b" % (method, host, fields, body)


def told(request: Message) -> dict[str, str]:
    """What a backend gets of it, whatever the spelling; a fingerprint is left out where it is right."""
    found = {}
    for name, value in [*request.fields, *request.trailers]:
        folded = "".join(char if char.isalnum() else "-" for char in name.lower())
        if folded.startswith("x-ssl-client"):
            assert folded not in found
            found[folded.removeprefix("x-ssl-client-")] = value
    if len(found.get("fingerprint", "")) == 64:
        del found["fingerprint"]
    return found


def backend_of(stage: Stage) -> list[Message]:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    return seen


async def test_who_is_required_to_have_a_certificate_and_has_none_does_not_enter(stage: Stage) -> None:
    seen = backend_of(stage)
    await stage.open(tls=tls())
    assert (await with_client(stage, exchange(ask()), context=client_with(BOB))).endswith(b"ok")
    for pair in (None, EVE, GONE):
        with pytest.raises(ssl.SSLError):
            await with_client(stage, exchange(ask()), context=client_with(pair, "1.2"))
    # With TLS 1.3 a client is done before the server has judged it.
    with contextlib.suppress(ssl.SSLError):
        assert await with_client(stage, exchange(ask()), context=client_with(None)) == b""
    await until(lambda: stage.whys.get(Why.TLS_CLIENT_CERTIFICATE) == 4)
    assert len(seen) == 1
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize("name", ["a.example", "b.example", "other.example", None])
async def test_no_name_leads_around_the_certificate_or_the_oldest_version(stage: Stage, name: str | None) -> None:
    """A context that is chosen in the callback of SNI would bring its certificate along, and neither of these."""
    seen = backend_of(stage)
    await stage.open(tls=tls(min_version="1.3"))
    assert (await with_client(stage, exchange(ask(name.encode() if name in ("a.example", "b.example") else b"a.example")), name,
                              client_with(BOB))).endswith(b"ok")  # fmt: skip
    with pytest.raises(ssl.SSLError):
        await with_client(stage, exchange(ask()), name, client_with(BOB, "1.2"))
    with contextlib.suppress(ssl.SSLError):
        assert await with_client(stage, exchange(ask()), name, client_with(None)) == b""
    await until(lambda: stage.whys.get(Why.TLS_CLIENT_CERTIFICATE) == 1)
    assert len(seen) == 1


async def test_without_one_a_client_enters_where_it_may(stage: Stage) -> None:
    seen = backend_of(stage)
    await stage.open(tls=tls("verify"))
    await with_client(stage, exchange(ask(fields=FORGED)), context=client_with(None))
    await with_client(stage, exchange(ask(fields=FORGED)), context=client_with(BOB))
    with pytest.raises(ssl.SSLError):
        await with_client(stage, exchange(ask()), context=client_with(EVE, "1.2"))
    assert [told(request) for request in seen] == [{"verify": "NONE"}, BOBS]


@pytest.mark.parametrize("underscores", [pytest.param("drop", marks=LONG), "pass"])
@pytest.mark.parametrize("secured", [None, ServerTls(True, (A.certificate,)), tls()], ids=["plain", "tls", "verified"])
async def test_nobody_else_can_say_who_he_is(stage: Stage, secured: ServerTls | None, underscores: str) -> None:
    """In any spelling, as a field or behind a body; plain listeners lead to the same backends."""
    seen = backend_of(stage)
    await stage.open(tls=secured, http=HttpConfig(underscore_headers=underscores))
    body = b"1\r\nx\r\n0\r\n" + FORGED + b"\r\n"
    requests = [ask(fields=FORGED), ask(fields=FORGED + b"Transfer-Encoding: chunked\r\n", body=body)]
    for request in requests:
        if secured is None:
            client = await stage.client()
            await client.send(request)
            await client.reply()
        else:
            await with_client(stage, exchange(request), context=client_with(BOB))
    assert [told(request) for request in seen] == [BOBS if secured is not None and secured.verifies_clients else {}] * 2
    assert not any("Fingerprint" in name and value == "00" for request in seen for name, value in request.fields)


async def test_a_trusted_proxy_is_believed_where_certificates_don_t_count(stage: Stage) -> None:
    seen = backend_of(stage)
    await stage.open(trusted=LOOPBACK)
    client = await stage.client()
    await client.send(get("/", "X-SSL-Client-DN: CN=ada", "x_ssl_client_verify: SUCCESS"))
    await client.reply()
    assert told(seen[0]) == {"dn": "CN=ada"}
    await stage.reload(with_tls(stage, tls()))
    fields = b"X-SSL-Client-DN: CN=ada\r\nX-Forwarded-For: 9.9.9.9\r\n"
    await with_client(stage, exchange(ask(fields=fields)), context=client_with(BOB))
    assert told(seen[1]) == BOBS
    assert seen[1].get("x-real-ip") == "9.9.9.9"


async def test_the_access_log_says_who_it_was(stage: Stage) -> None:
    backend_of(stage)
    path = stage.folder / "access.log"
    await stage.open(tls=tls("verify"), access=AccessLog(enabled=True, output=str(path)))
    for pair in (BOB, None):
        await with_client(stage, exchange(ask()), context=client_with(pair))
    await until(lambda: path.exists() and path.read_text().count("\n") == 2)
    assert [json.loads(line).get("user") for line in path.read_text().splitlines()] == ["CN=bob", None]


async def test_what_a_route_removes_is_not_said(stage: Stage) -> None:
    seen = backend_of(stage)
    changes = (HeaderChange("remove", "X-SSL-Client-SAN"), HeaderChange("set", "X-SSL-Client-DN", "nobody"))
    await stage.open(tls=tls(), http=HttpConfig(transform=Transform(request_headers=changes)))
    await with_client(stage, exchange(ask()), context=client_with(BOB))
    assert told(seen[0]) == {name: value for name, value in BOBS.items() if name != "san"} | {"dn": "nobody"}


def with_tls(stage: Stage, settings: ServerTls) -> Config:
    config = stage.snapshot.config
    return replace(config, listeners=(replace(config.listeners[0], tls=settings),))


@pytest.mark.parametrize(
    ("server_name", "host", "status"),
    [
        ("a.example", b"a.example", 200),
        pytest.param("a.example", b"A.Example.:8443", 200, marks=LONG),
        ("a.example", b"b.example", 421),
        pytest.param("b.example", b"a.example", 421, marks=LONG),
        pytest.param("a.example", b"other.example", 200, marks=LONG),  # both lead to the default certificate
        pytest.param(None, b"a.example", 200, marks=LONG),
        (None, b"b.example", 421),
    ],
)
async def test_a_request_is_for_the_host_that_the_connection_was_made_for(
    stage: Stage, server_name: str | None, host: bytes, status: int
) -> None:
    seen = backend_of(stage)
    await stage.open(tls=tls())
    reply = await with_client(stage, exchange(ask(host)), server_name, client_with(BOB))
    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert len(seen) == (status == 200)
    if status == 421:
        assert stage.whys == {Why.MISDIRECTED: 1}
    await stage.reload(with_tls(stage, tls("none")))
    reply = await with_client(stage, exchange(ask(host)), server_name, client_with(BOB))
    assert reply.startswith(b"HTTP/1.1 200 ")  # where none counts every host is as good


@pytest.mark.parametrize("version", [pytest.param("1.2", marks=LONG), "1.3"])
async def test_a_revocation_ends_connections_and_no_session_passes_it(stage: Stage, version: str) -> None:
    """An idle connection is closed at once; one that is busy after its request."""
    backend_of(stage)
    await stage.open(tls=tls(crl=CA.revoking(5)))
    context = client_with(BOB, version)
    kept: list[ssl.SSLSession | None] = []

    def idle(client: ssl.SSLSocket) -> bytes:
        client.sendall(get())
        received = client.recv(65536)
        kept.append(client.session)
        stage.loop.call_soon_threadsafe(lambda: stage.loop.create_task(stage.reload(with_tls(stage, tls(crl=CA.revoking(2))))))
        with contextlib.suppress(ssl.SSLError):
            received += client.recv(65536)
        return received

    assert (await with_client(stage, idle, context=context)).count(b"HTTP/1.1 200") == 1
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert await with_client(stage, exchange(ask()), context=context, session=kept[0]) == b""
    await until(lambda: stage.whys.get(Why.TLS_CLIENT_CERTIFICATE) == 1)
    assert stage.whys.get(Why.OK) == 1


async def test_a_client_that_has_begun_is_judged_by_the_list_that_counts_when_it_goes_on(stage: Stage) -> None:
    """Half a ClientHello in time is no way around a revocation."""
    backend_of(stage)
    await stage.open(tls=tls(crl=CA.revoking(5)))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_with(BOB, "1.2").wrap_bio(to_client, to_server, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    wire = await stage.client()
    hello = to_server.read()
    await wire.send(hello[:50])
    await until(lambda: stage.worker.descriptors.clients)
    await stage.reload(with_tls(stage, tls(crl=CA.revoking(2))))
    await wire.send(hello[50:])
    with pytest.raises(ssl.SSLError, match="REVOKED"):
        while True:
            to_client.write(await wire.some())
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            await wire.send(to_server.read())
    assert stage.whys == {Why.TLS_CLIENT_CERTIFICATE: 1}


async def test_nothing_is_served_in_plain_text_where_tls_has_come_meanwhile(stage: Stage) -> None:
    seen = backend_of(stage)
    header = ProxyProtocol(accept=True, trusted=LOOPBACK)
    await stage.open(proxy_protocol=header)
    wire = await stage.client()
    await wire.send(b"PROXY TCP4 1.2.3.4 ")
    await until(lambda: stage.worker.descriptors.clients)
    await stage.reload(with_tls(stage, tls("none")))
    await wire.send(b"5.6.7.8 1 2\r\n" + get())
    await wire.has_ended()
    assert seen == []
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize(
    ("pair", "crl", "words"),
    [
        pytest.param(None, None, "none: peer did not return a certificate", marks=LONG),
        (EVE, None, "unknown_ca: unable to get local issuer certificate"),
        pytest.param(GONE, None, "expired: certificate has expired", marks=LONG),
        (BOB, CA.revoking(2), "revoked: certificate revoked"),
        (BOB, CA.revoking(hours=-1), "crl_expired: CRL has expired"),
    ],
    ids=["none", "another authority", "expired", "revoked", "the list has ended"],
)
async def test_the_log_says_why_a_certificate_does_not_count(
    stage: Stage, caplog: pytest.LogCaptureFixture, pair: Pair | None, crl: Path | None, words: str
) -> None:
    caplog.set_level(logging.WARNING, "balance")
    await stage.open(tls=tls(crl=crl))
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await with_client(stage, exchange(ask()), context=client_with(pair))
    await until(lambda: stage.whys == {Why.TLS_CLIENT_CERTIFICATE: 1})
    said = f"a TLS handshake with 127.0.0.1 for a.example failed: tls_client_certificate: {words}"
    assert [record.message for record in caplog.records] == [said]


@LONG
async def test_a_client_that_does_not_take_our_certificate_is_told_apart(stage: Stage) -> None:
    await stage.open(tls=tls("none"))
    strict = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await with_client(stage, exchange(ask()), context=strict)
    await until(lambda: stage.whys == {Why.TLS_SERVER_CERTIFICATE: 1})


@LONG
async def test_certificates_count_in_tcp_mode(stage: Stage) -> None:
    async def echo(wire: Wire) -> None:
        while data := await wire.some():
            await wire.send(data)

    stage.backend(echo)
    await stage.open(mode=Mode.TCP, tls=tls())

    def ping(client: ssl.SSLSocket) -> bytes:
        client.sendall(b"ping")
        return client.recv(4)

    assert await with_client(stage, ping, context=client_with(BOB)) == b"ping"
    with pytest.raises(ssl.SSLError):
        await with_client(stage, ping, context=client_with(None, "1.2"))
    await until(lambda: not stage.worker.descriptors.clients)
