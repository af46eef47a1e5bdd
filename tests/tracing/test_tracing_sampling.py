"""The share of traces that is sampled, and that everybody takes the same ones."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from balance.tracing.sampling import bound_of, is_sampled


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5, 1.0])
def test_the_share_is_kept(rate: float) -> None:
    chance = random.Random(7)
    sampled = sum(is_sampled(b"%032x" % chance.getrandbits(128), bound_of(rate)) for _ in range(20_000))
    assert abs(sampled / 20_000 - rate) < 0.01
    assert rate not in (0.0, 1.0) or sampled == 20_000 * rate


@settings(max_examples=30)
@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
def test_it_is_the_choice_of_opentelemetry(trace_id: int, rate: float) -> None:
    theirs = TraceIdRatioBased(rate).should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
    assert is_sampled(b"%032x" % trace_id, bound_of(rate)) is theirs
