"""Revocation lists are whose openssl made them, and end when it says."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pem_files import authority, read

from balance.tls.pem_loading import infos
from balance.tls.revocation_lists import KIND, ends_at, parse_revocation_list, revocation_lists, without_list
from balance.tls.settings import PemFile
from balance.tls.x509 import pem_blocks

CA, OTHER = authority(), authority("Other CA")
LIST = CA.revoking(1, 2, hours=5)


def test_a_list_says_whose_it_is_and_until_when() -> None:
    (found,) = revocation_lists(read(LIST))
    assert abs(found.next_update - time.time() - 5 * 3600) < 1800  # it was made when this file was collected
    assert abs(found.this_update - time.time() + 48 * 3600) < 1800  # it was made when this file was collected
    assert ends_at(read(LIST)) == found.next_update
    authorities = [*infos(read(CA.cert)), *infos(read(OTHER.cert))]
    assert without_list([found], authorities) == ["CN=Other CA"]


def test_the_first_of_several_to_end_counts(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(OTHER.revoking(hours=50).read_bytes() + LIST.read_bytes())
    assert ends_at(read(both)) == ends_at(read(LIST))
    assert len(revocation_lists(read(both))) == 2


def test_version_1_has_no_version_and_a_list_may_have_no_end() -> None:
    old = bytes.fromhex("3015301330003000170d") + b"240101000000Z"
    assert parse_revocation_list(old).next_update == 0


@pytest.mark.parametrize("text", [b"", CA.cert.read_bytes(), b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----"])
def test_a_file_without_one_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no revocation list|can't be read"):
        revocation_lists(PemFile("/x.pem", text))


@settings(max_examples=40)
@given(st.data())
def test_a_broken_list_is_refused_or_read(data: st.DataObject) -> None:
    der = bytearray(pem_blocks(LIST.read_bytes(), KIND)[0])
    for _ in range(3):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        parse_revocation_list(bytes(der[: data.draw(st.integers(0, len(der)))]))
