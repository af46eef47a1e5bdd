"""DER is read as far as it goes, and refused where it lies about its length."""

from __future__ import annotations

import pytest

from balance.tls.der import first, items, time_of


def test_elements_follow_each_other() -> None:
    assert list(items(b"\x02\x01\x05\x04\x81\x02ab")) == [(2, b"\x05"), (4, b"ab")]
    assert list(items(b"")) == []
    assert first(b"\x30\x03\x02\x01\x05") == b"\x02\x01\x05"


@pytest.mark.parametrize("data", [b"\x30", b"\x30\x80", b"\x30\x02a", b"\x30\x85\0\0\0\0\0", b"\x30\x82\x01"])
def test_what_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        list(items(data))
    with pytest.raises((ValueError, IndexError)):
        first(data)


def test_times_have_two_forms() -> None:
    assert time_of(0x17, b"700101000000Z") == time_of(0x18, b"19700101000000Z") == 0
    assert time_of(0x17, b"490101000000Z") == time_of(0x18, b"20490101000000Z")
    with pytest.raises(ValueError, match="junk"):
        time_of(0x18, b"junk")
