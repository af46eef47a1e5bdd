"""The coding of a reply, by what its client says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.compression.accept_encoding import IDENTITY, negotiate

OURS = (b"zstd", b"br", b"gzip")

CASES: list[tuple[list[bytes], bytes]] = [
    ([], IDENTITY),
    ([b""], IDENTITY),
    ([b"identity"], IDENTITY),
    ([b"deflate, compress"], IDENTITY),
    ([b"gzip, deflate, br, zstd"], b"zstd"),  # browsers: equally liked, so our order
    ([b"gzip, deflate, br"], b"br"),
    ([b"GZIP"], b"gzip"),
    ([b"x-gzip"], b"gzip"),
    ([b"gzip;q=1.0, br;q=0.9"], b"gzip"),  # the client's order comes first
    ([b"gzip ; q=0.5 ,br\t;\tq=0.501"], b"br"),
    ([b"gzip;Q=0.5, br;Q=0.4"], b"gzip"),
    ([b"gzip", b"br;q=0.1"], b"gzip"),  # lines are one list
    ([b"*"], b"zstd"),
    ([b"*;q=0.1, gzip"], b"gzip"),
    ([b"*, zstd;q=0, br;q=0"], b"gzip"),
    ([b"zstd;q=0, br;q=0.000, gzip;q=0"], IDENTITY),
    ([b"*;q=0"], IDENTITY),  # no 406
    ([b"identity;q=0"], IDENTITY),
    ([b"identity;q=0, gzip;q=0.001"], b"gzip"),
    ([b"identity, gzip;q=0.5"], IDENTITY),
    ([b"identity;q=0.5, gzip;q=0.5"], b"gzip"),
    ([b"identity, *;q=0"], IDENTITY),
    ([b"gzip;q=0, gzip"], IDENTITY),  # a refusal counts
    ([b"gzip;q=2"], IDENTITY),  # malformed members are skipped
    ([b"gzip;q=0.1234, br"], b"br"),
    ([b"gzip;q=-1"], IDENTITY),
    ([b"gzip;level=9"], IDENTITY),
    ([b"gzip;"], IDENTITY),
    ([b"gz ip, ,;,br"], b"br"),
    ([b"notgzip"], IDENTITY),
    ([b"deflate," * 64 + b"gzip"], IDENTITY),  # only the first 64 are read
]


@pytest.mark.parametrize(("values", "coding"), CASES)
def test_the_clients_weights_decide_then_our_order(values: list[bytes], coding: bytes) -> None:
    assert negotiate(values, OURS) == coding


def test_only_what_is_configured_is_chosen() -> None:
    assert negotiate([b"gzip, br, zstd"], (b"gzip", b"zstd")) == b"gzip"
    assert negotiate([b"br"], (b"gzip",)) == IDENTITY


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=3))
def test_any_bytes_are_answered_with_one_of_ours(values: list[bytes]) -> None:
    assert negotiate(values, OURS) in (*OURS, IDENTITY)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from([b"gzip", b"br", b"zstd", b"identity", b"*"]), st.integers(0, 1000)))
def test_what_is_chosen_is_not_refused_and_nothing_is_liked_better(weights: dict[bytes, int]) -> None:
    field = b", ".join(b"%b;q=%.3f" % (coding, weight / 1000) for coding, weight in weights.items())
    coding = negotiate([field], OURS)
    weight_of = {ours: weights.get(ours, weights.get(b"*", 0)) for ours in OURS}
    if coding == IDENTITY:
        assert max(weight_of.values()) <= weights.get(b"identity", 0)
    else:
        assert weight_of[coding] == max(weight_of.values()) > 0
        assert weight_of[coding] >= weights.get(b"identity", 0)
