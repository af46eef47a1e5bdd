"""Reloads with what they changed, those that failed with the place in the file, and events."""

from __future__ import annotations

import asyncio

from fake_instance import TEXT, FakeInstance
from traffic_of_a_view import Watched

from balance.admin.dashboard.state.past import MAX_EVENTS, MAX_RELOADS
from balance.admin.supervisor_orders import FailedReload, Reload


def test_reloads_say_what_they_changed() -> None:
    fake_instance = FakeInstance()
    watched = Watched(fake_instance.view)
    text = TEXT.replace('"127.0.0.1:9002", weight: 2', '"127.0.0.1:9002", weight: 5')
    asyncio.run(fake_instance.submit_order(Reload(text=text)))
    fake_instance.view.failed_reloads.append(FailedReload(5000.0, "SIGHUP", ("test.yaml:3:9: pools.app: unknown key",)))
    reloads = watched.next()["reloads"]
    first, second, failed = (reloads[key] for key in sorted(reloads, key=int))
    assert (first["origin"], first["current"], "changes" in first) == ("start", False, False)
    assert (second["generation"], second["current"], second["changes"]) == (2, True, "~ backend app/a2: weight 2 -> 5")
    assert (failed["result"], failed["problems"]) == ("failure", "test.yaml:3:9: pools.app: unknown key")


def test_what_has_happened_is_bounded() -> None:
    fake_instance = FakeInstance()
    view = fake_instance.view
    for number in range(100):
        view.failed_reloads.append(FailedReload(5000.0 + number, "SIGHUP", (f"problem {number}",)))
        view.events.publish("warning", f"event {number}", pool="app", name="a1", other=3)
    watched = Watched(view)
    document = watched.document
    assert len(document["reloads"]) == MAX_RELOADS
    assert len(document["events"]) == MAX_EVENTS
    newest = document["events"][max(document["events"], key=int)]
    assert (newest["text"], newest["pool"], newest["name"]) == ("event 99", "app", "a1")
    assert "other" not in newest
    again = watched.next()["events"]
    assert all(again[number] is section for number, section in document["events"].items())
