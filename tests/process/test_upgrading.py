"""An instance hands over to another one, with real processes: nothing is lost, and what cannot take over leaves all as it was."""

import os
import signal
from collections.abc import Callable

import pytest
from drilling import Drill, document, wait_while
from running import Instance, until
from steady import Load

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]

SMALL = {"keeping": 2, "fresh": 2, "websockets": 3, "download_bytes": 0}
BRIEF = {"timeouts": {"drain": "1s"}}


def test_a_websocket_outlives_an_instance_in_between_that_has_nothing_left_to_do(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses, **BRIEF)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        drill.upgrade()
        drill.upgrade()
        instance.saying("supervisor: ended")  # the second one
        before = load.open_websockets
        assert wait_while(lambda: load.open_websockets == before, 2.0), instance.log
        report = load.end()
    assert report.websockets == 3 and not report.failures, report.failures
    assert "so does this one" not in instance.log
