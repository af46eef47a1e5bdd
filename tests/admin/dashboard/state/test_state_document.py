"""The document as a whole: patches between documents stay small, and apply."""

from __future__ import annotations

import json
from dataclasses import replace

from traffic_of_a_view import Watched

from balance.admin.dashboard.state.merge_patch import patch, patched
from balance.admin.state_view import StateView
from balance.health.states import State


def test_only_what_changed_is_in_a_patch(view: StateView) -> None:
    watched = Watched(view)
    for _ in range(14):
        watched.next()
    before = watched.document
    changes = patch(before, watched.next())
    assert set(changes) <= {"at", "workers", "control"}  # processes may use CPU
    view.board.set_state(1, State.MAINTENANCE, 4000.0, "ordered")  # type: ignore[attr-defined]
    before = watched.document
    after = watched.next()
    changes = patch(before, after)
    assert set(changes["backends"]) == {"app/a1", "app/a2"}  # and the other one's due share
    assert json.loads(json.dumps(patched(before, changes))) == json.loads(json.dumps(after))


def test_a_reload_in_between_takes_rows_away(view: StateView) -> None:
    watched = Watched(view)
    before = watched.document
    view.config = replace(view.config, pools=view.config.pools[:1])
    changes = patch(before, watched.next())
    assert changes["backends"]["raw/r1"] is None
    assert changes["pools"]["raw"] is None
