"""Names are compared in lower case, and each list has its reason."""

from __future__ import annotations

from balance.security.forward_fields import CONDITIONAL, NEVER_PASSED, NOT_OF_DENIALS, SAID_BY_US


def test_names() -> None:
    lists = [CONDITIONAL, NEVER_PASSED, SAID_BY_US, frozenset(name.decode() for name in NOT_OF_DENIALS)]
    assert all(name == name.lower() for names in lists for name in names)
    assert not {"authorization", "cookie", "set-cookie", "location", "www-authenticate"} & frozenset.union(*lists)
