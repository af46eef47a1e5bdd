"""How an algorithm behaves when machines don't: hours of traffic over the policies themselves, in seconds, without a socket."""

from __future__ import annotations

from balance.simulation.report import Report
from balance.simulation.run import simulate
from balance.simulation.scenarios import SCENARIOS, Scenario, Server, Spell

__all__ = ["SCENARIOS", "Report", "Scenario", "Server", "Spell", "simulate"]
