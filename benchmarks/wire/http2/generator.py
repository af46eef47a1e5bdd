"""Which load a row is asked by."""

from pathlib import Path

from wire import load
from wire.http2 import h2load
from wire.scenarios import Scenario


def run(row: Scenario, port: int, seconds: float, core: int, folder: Path) -> load.Figures:
    """LoadFailedError, where the load did not run to its end."""
    generate = h2load.run if row.streams else load.run
    return generate(row, port, seconds, core, folder)


def missing(row: Scenario) -> str | None:
    return h2load.missing() if row.streams else load.missing()
