"""The lines that each try has of its own, and a backend's own name."""

import pytest
from variables import RequestValues

from balance.config.route_model import HeaderChange
from balance.model import Address
from balance.transform.header_changes import HeaderChanges
from balance.transform.lines_per_try import LinesPerTry, own_host


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("app.internal:8080", b"app.internal:8080"),
        ("app.internal:80", b"app.internal"),
        ("10.0.0.1:443", b"10.0.0.1:443"),
        ("[::1]:8080", b"[::1]:8080"),
        ("unix:/run/app.sock", b"localhost"),
        ("bücher.example:80", b"xn--bcher-kva.example"),
    ],
)
def test_own_host_is_the_address(address: str, host: bytes) -> None:
    assert own_host(Address.parse(address)) == host


def test_name_that_cannot_be_resolved_ends_no_request_early() -> None:
    assert own_host(Address("ü" * 70, 80)) == b"localhost"


def test_each_try_names_its_backend() -> None:
    changes = HeaderChanges([HeaderChange("add", "X-B", "{backend}")], is_request=True)
    both = LinesPerTry(changes.take_per_try(), has_host=True)
    assert both.lines(RequestValues(backend="b1"), b"b1:8080") == b"Host: b1:8080\r\nX-B: b1\r\n"
    assert both.lines(RequestValues(backend="b2"), b"b2") == b"Host: b2\r\nX-B: b2\r\n"
    assert LinesPerTry(None, has_host=False).lines(RequestValues(), b"b2") == b""
