"""When a certificate's end is told."""

from __future__ import annotations

import pytest

from balance.config.checking.tls.tls_dates import DAY_S, expiry_warning


@pytest.mark.parametrize(("left_days", "limit"), [(31, None), (30, 30), (8, 30), (7, 7), (1.5, 7), (0, 0), (-3, 0)])
def test_a_warning_comes_at_30_days_at_7_and_at_the_end(left_days: float, limit: int | None) -> None:
    warning = expiry_warning("x.crt", 1_800_000_000, 1_800_000_000 - left_days * DAY_S)
    assert (warning.days if warning else None) == limit
    if warning is not None:
        assert "'x.crt'" in warning.message
        assert "2027-01-15" in warning.message
