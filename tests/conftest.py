"""Settings of the tests as a whole."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is up to the machine: no test fails because it is busy.
settings.register_profile("balance", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("balance")

# Their tests start processes and mostly wait for them.
WAITING = ("attacks", "cli", "client", "dashboard", "monitoring", "peers", "process")


# A compiled module finds its own constants, functions and methods without a look-up: to patch them there changes nothing.
_DATA_PATH = find_spec("balance.proxy.http.exchange.exchange")
IS_COMPILED = _DATA_PATH is not None and not str(_DATA_PATH.origin).endswith(".py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what can't be patched. Spread the files that mostly wait evenly among those that compute, so that several at
    once keep the machine busy.
    """
    if IS_COMPILED:
        for item in items:
            if item.get_closest_marker("pure") is not None:
                item.add_marker(pytest.mark.skip("it patches what is compiled, or stands in for it"))
    files = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    waiting = [group for group in files if is_waiting(group[0].path)]
    computing = [group for group in files if not is_waiting(group[0].path)]
    places = [((place + 0.5) / len(kind), group) for kind in (waiting, computing) for place, group in enumerate(kind)]
    items[:] = [item for _, group in sorted(places, key=lambda each: each[0]) for item in group]


def is_waiting(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).parts[0] in WAITING
