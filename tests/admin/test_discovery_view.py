"""The discovery of a pool in /status, and what /ready says of a pool without backends."""

import pytest

from balance.admin.discovery import DiscoveryView, discovery_document, why_nobody
from balance.config.model import PoolConfig
from balance.discovery.endpoint_set import Standing
from balance.discovery.settings import Discovery, FileDiscovery


def view(standing: Standing, **keys: object) -> DiscoveryView:
    return DiscoveryView("file", "/x", standing, 1.0, 0, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("on_empty", "standing", "why"),
    [
        ("hold", Standing.WAITING, "discovery has found nobody yet"),
        ("hold", Standing.FAILING, "discovery has found nobody yet"),
        ("hold", Standing.FRESH, "discovery says that there is nobody"),
        ("empty", Standing.WAITING, "discovery has found nobody yet"),
        ("empty", Standing.FRESH, ""),  # it may scale to zero
        ("empty", Standing.STALE, ""),
        ("empty", None, "discovery has found nobody yet"),
    ],
)
def test_why_a_pool_is_empty(on_empty: str, standing: Standing | None, why: str) -> None:
    pool = PoolConfig("p", (), discovery=Discovery(FileDiscovery("/x"), on_empty=on_empty))
    assert why_nobody(pool, None if standing is None else view(standing)) == why


def test_the_document_says_what_is_known() -> None:
    assert discovery_document(None, 0.0) is None
    found = discovery_document(
        view(Standing.STALE, last_answer_at=5.0, failure="no answer", failed_at=6.0, next_look_at=9.5, is_held=True), 7.0
    )
    assert found == {
        "kind": "file",
        "source": "/x",
        "state": "stale",
        "since": "1970-01-01T00:00:01.000+00:00",
        "endpoints": 0,
        "last_answer": "1970-01-01T00:00:05.000+00:00",
        "last_failure": {"words": "no answer", "at": "1970-01-01T00:00:06.000+00:00"},
        "refused": None,
        "says_nobody": True,
        "next_look_in_seconds": 2.5,
    }
