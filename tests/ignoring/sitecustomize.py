"""Makes every process of a test run ignore one field of the configuration, as if its key did nothing (tests/test_every_key.py).

Python imports it at its start where this folder is in PYTHONPATH. BALANCE_TEST_IGNORES is like `Timeouts.read_s`.
"""

import dataclasses
import os
from typing import Any


def ignore(owner: Any, name: str) -> None:
    """Objects of that class have the default there, whatever they are made with."""
    about = owner.__dataclass_fields__[name]
    initialise = owner.__init__

    def with_default(self: object, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        is_made = about.default_factory is not dataclasses.MISSING
        object.__setattr__(self, name, about.default_factory() if is_made else about.default)

    owner.__init__ = with_default


if wanted := os.environ.get("BALANCE_TEST_IGNORES"):
    from balance.autoscaling import settings as autoscaling
    from balance.config import model, route_model
    from balance.discovery import settings as discovery
    from balance.security import settings as security
    from balance.tls import settings as tls

    owner, _, field = wanted.partition(".")
    home = next(each for each in (model, route_model, security, tls, discovery, autoscaling) if hasattr(each, owner))
    ignore(getattr(home, owner), field)
