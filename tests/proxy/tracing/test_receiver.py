"""TLS to receivers: verified by the system's authorities, which SSL_CERT_FILE may name, for the host of the endpoint."""

import asyncio
import ssl

import pytest
from pem_files import self_signed

from balance.proxy.tracing.exporter import Exporter
from balance.proxy.tracing.otlp_grpc import GrpcReceiver
from balance.proxy.tracing.otlp_http import HttpReceiver
from balance.proxy.tracing.receiver import Answer
from balance.tracing.endpoint import parse_endpoint
from balance.tracing.otlp import Resource

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def exported(scheme: str, host: str) -> tuple[Answer, str | None]:
    """What comes of an export to a server with a certificate for localhost, and which protocol was agreed on."""
    agreed: list[str | None] = []

    async def main() -> Answer:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            agreed.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await reader.read(100)
            writer.write(OK)
            await writer.drain()
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self_signed("localhost"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=context)
        endpoint = parse_endpoint(f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}")
        receiver = (GrpcReceiver if endpoint.is_grpc else HttpReceiver)(endpoint, [])
        exporter = Exporter(asyncio.get_running_loop(), receiver, Resource([], "b", "1"), lambda: 0.0)
        answer = await exporter._try(b"body", 5.0)
        receiver.close()
        server.close()
        return answer

    return asyncio.run(main()), agreed[0] if agreed else None


@pytest.mark.parametrize(("scheme", "protocol"), [("https", None), ("grpcs", "h2")])
def test_who_is_known_is_spoken_to(scheme: str, protocol: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed("localhost").cert))
    answer, agreed = exported(scheme, "localhost")
    assert agreed == protocol
    assert answer.is_taken if scheme == "https" else "is not HTTP/2" in answer.why  # the server speaks HTTP/1.1


@pytest.mark.parametrize(("host", "trusts"), [("localhost", False), ("127.0.0.1", True)])
def test_others_are_not(host: str, trusts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed("localhost" if trusts else "other.example").cert))
    answer, _ = exported("https", host)
    assert not answer.is_taken and answer.is_retryable and "certificate is not accepted" in answer.why
