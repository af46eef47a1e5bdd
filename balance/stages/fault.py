"""Fault injection: some requests of a route are answered with an error, or wait, to see how clients take it.

It ends by itself, and who may cause a fault by a header field is a trusted proxy only (as in Envoy, where the fields are
believed from nobody else: x-envoy-fault-* are for internal requests); of others the field does not go on to backends. Delays
are judged before aborts, as in Envoy; a request may get both. Health checks of backends and requests to the admin port take no
route, and so no fault.
"""

from __future__ import annotations

from typing import Final

from balance.config.fault_ends import fault_end_s
from balance.config.route_model import Fault, RouteConfig
from balance.model import Why
from balance.routing.value_test import ValueTest
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Stage, Wait
from balance.stages.trusted_field import TrustedField

RULE: Final = "fault"
MAX_HELD: Final = 1000  # requests that wait at once, for each route and worker; beyond it none waits


class FaultInjection(Stage):
    """Aborts and delays of one route."""

    __slots__ = ("_abort", "_abort_below", "_delay_below", "_delay_s", "_ends", "_field", "_held", "_test")

    def __init__(self, fault: Fault, ends: float) -> None:
        """`ends` is when it ends: seconds, monotonic."""
        self._ends = ends
        self._delay_below = fault.delay_percent / 100 if fault.delay_s else 0.0
        self._delay_s = fault.delay_s
        self._abort_below = fault.abort_percent / 100
        self._abort = Reply(fault.abort_status, Why.FAULT_INJECTED, "this fault is injected")
        self._test = ValueTest("header", fault.header) if fault.header is not None else None
        self._field = TrustedField(fault.header.name.encode()) if fault.header is not None else None
        self._held: list[float] = []  # when the requests that wait go on, earliest first: all wait equally long

    def on_request(self, context: RequestContext) -> Reply | Wait | None:
        if self._field is not None:
            self._field.remove_unbelieved(context)
        if context.now >= self._ends:
            return None
        if self._test is not None and not (context.is_trusted and self._test.holds(context)):
            return None
        is_aborted = context.rand() < self._abort_below
        if self._delay_below and context.rand() < self._delay_below and self._may_hold(context.now):
            context.rule = RULE
            return Wait(self._delay_s, self._abort if is_aborted else None)
        if is_aborted:
            context.rule = RULE
            return self._abort
        return None

    def is_settled(self, context: RequestContext) -> bool:
        """Whether it is over, or this request does not ask for it."""
        if context.now >= self._ends:
            return True
        return self._test is not None and not (context.is_trusted and self._test.holds(context))

    def _may_hold(self, now: float) -> bool:
        """Whether one more request may wait from `now` on; counts it then. Clients that leave count to the end."""
        held = self._held
        if len(held) >= MAX_HELD:
            over = 0
            while over < len(held) and held[over] <= now:
                over += 1
            del held[:over]
            if len(held) >= MAX_HELD:
                return False
        held.append(now + self._delay_s)
        return True


def fault_stage(route: RouteConfig, environment: StageEnvironment) -> FaultInjection | None:
    """The route's faults; None where it has none, or they are over."""
    fault = route.policy.fault
    if fault is None or not (fault.abort_percent or (fault.delay_percent and fault.delay_s)):
        return None
    made = environment.made
    left_s = (fault_end_s(fault) or made.epoch_s + fault.until_s) - made.epoch_s
    return FaultInjection(fault, made.monotonic_s + left_s) if left_s > 0 else None
