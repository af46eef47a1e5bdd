"""`balance top` with a whole instance, whose page is turned off."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from instance_process import Instance
from pseudo_terminal import PseudoTerminal

pytestmark = pytest.mark.long
TEXT = """\
workers: 1
mode: http
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0", dashboard: false}
backends: [{name: a, address: "127.0.0.1:1"}, {name: b, address: "127.0.0.1:2"}]
"""


def test_an_instance_is_seen_drained_and_found_again(tmp_path: Path) -> None:
    instance = Instance(tmp_path, TEXT).ready()
    try:
        with PseudoTerminal(["top", "--admin", f"127.0.0.1:{instance.admin_port}"]) as terminal:
            terminal.until_shown("default/a", "default/b", "2 backends", "healthy, ready")
            terminal.press("down", "d")
            terminal.until_shown("Drain default/b? y yes, n no")
            terminal.until_gone("asking what would happen")
            terminal.press("y")
            terminal.until_shown("default/b is draining", "Drained by an operator")
            assert instance.ask("/backends/b")[1]["state"] == "draining"
            instance.get("/")  # nobody listens at a's address
            terminal.press("up")
            terminal.until_shown("errors: connect_refused 1 (last connect_refused)")
            os.kill(instance.ask("/status")[1]["control"]["pid"], signal.SIGKILL)
            terminal.until_shown("its control process was started anew; traffic went on", "healthy, ready")
            terminal.press("q")
            assert (terminal.ended(), terminal.is_restored) == (0, True)
        status, said = instance.command("top", "--once")
        assert status == 0 and "default/b draining" in said.replace("    ", " ")
    finally:
        instance.process.kill()
        instance.process.wait()
