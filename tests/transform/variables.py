"""What templates and redirects read of a request, with values that a test picks."""

from dataclasses import dataclass


@dataclass
class RequestValues:
    client: str = "192.0.2.1"
    scheme: str = "http"
    host: str = "shop.example"
    host_sent: bytes = b"shop.example"
    request_id: bytes = b"r1"
    backend: str = ""
    region: str = ""
    path: bytes = b"/"
    query: bytes = b""
