"""Reads messages of processes that may have been taken over: orders and plain data alone.

A pickle can name any function of the program to be called. Workers and control have dropped their privileges; the supervisor,
which reads what they say, has not.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, Final, get_args

from balance.admin.supervisor_orders import Order
from balance.config.overrides.route_switch import RouteSwitch
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.security.key_set import JwksSource, KeyState

_CLASSES: Final = (*get_args(Order), BackendChange, RouteSwitch, Verb, DiscoveredPool, Endpoint, JwksSource, KeyState)
_READABLE: Final = {(each.__module__, each.__qualname__): each for each in _CLASSES}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _READABLE[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a message of a child") from None


def loads(data: bytes) -> tuple[str, Any]:
    """A message: its kind and data. UnpicklingError for anything else than orders and plain data."""
    try:
        kind, about = _Unpickler(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # whatever a broken pickle leads to
        raise pickle.UnpicklingError(f"no message: {error}") from None
    if type(kind) is not str:
        raise pickle.UnpicklingError("no message: its kind is no text")
    return kind, about
