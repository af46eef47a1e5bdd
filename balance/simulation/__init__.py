"""Simulation of the balancing algorithms with faulty servers: discrete events, virtual time, no sockets."""

from __future__ import annotations

from balance.simulation.report import Report
from balance.simulation.run import simulate
from balance.simulation.scenarios import SCENARIOS, Fault, Scenario, Server

__all__ = ["SCENARIOS", "Fault", "Report", "Scenario", "Server", "simulate"]
