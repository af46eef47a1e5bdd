"""Certificates, Redis, keys and features."""

from __future__ import annotations

from pathlib import Path

from fake_instance import TEXT, FakeInstance
from traffic_of_a_view import EPOCH, Watched

from balance.config import load_text
from balance.runtime import counters
from balance.shared_store.failures import StoreState

CERTIFICATES = Path(__file__).resolve().parents[4] / "deployments" / "examples" / "certificates"


def test_certificates_have_days_left() -> None:
    view = FakeInstance().view
    tls = f"{{cert_file: {CERTIFICATES}/example.crt, key_file: {CERTIFICATES}/example.key}}"
    view.config = load_text(f"{TEXT}admin: {{tls: {tls}}}", "test.yaml", {}).config
    (found,) = Watched(view).document["certificates"].values()
    assert (found["owner"], found["file"]) == ("admin", f"{CERTIFICATES}/example.crt")
    assert found["days_left"] == int((found["ends_at"] - EPOCH - 1) // 86400)
    assert found["state"] == ("ok" if found["days_left"] >= 30 else "soon" if found["days_left"] >= 0 else "ended")


def test_redis_is_there_where_it_is_used_and_shows_no_password() -> None:
    view = FakeInstance().view
    assert "redis" not in Watched(view).document
    text = TEXT.replace("  app:\n", "  app:\n    session_affinity: {enabled: true, mode: redis}\n")
    view.config = load_text(f'{text}redis: {{url: "redis://:hush@127.0.0.1:6379/0"}}\n', "test.yaml", {}).config
    view.board.rows[0][counters.STORE_STATE] = StoreState.DOWN
    document = Watched(view).document
    assert document["redis"]["sessions"]["state"] == StoreState.DOWN.word
    assert "hush" not in repr(document)


def test_features_are_those_in_use() -> None:
    features = Watched(FakeInstance().view).document["features"]
    assert (features["tcp"], features["http"], features["tls"], features["redis"]) == (False, True, False, False)
