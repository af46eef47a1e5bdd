"""CRC-32C by the examples of RFC 3720 appendix B.4."""

import pytest

from balance.proxy_protocol.crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_it_is_the_one_of_the_rfc(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc
