"""The processes of one pool: which are started, join, leave and are stopped, so that as many serve as are wanted.

    STARTING --passed--> SERVING --surplus--> DRAINING --idle or late--> STOPPING --exited--> gone
        |                   |                     |
        +-- late: STOPPING  +------- exited: a crash, gone, and another one is started by the crash loop's time

It says what is to be done (steps) and is told what has happened; it knows no process and no clock. A process is known by a name
that is never used twice.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from balance.autoscaling.crash_loop import STABLE_S, CrashLoop

START_TIMEOUT_S: Final = 60.0  # to pass its first health check
MAX_STARTS: Final = 16  # at a time, for a machine that is asked for hundreds


class Phase(enum.StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


class Step(enum.StrEnum):
    """What the shell does with a process."""

    START = "start"
    STOP = "stop"  # SIGTERM, and SIGKILL after the grace


class Todo(NamedTuple):
    step: Step
    name: str


@dataclass(slots=True)
class Instance:
    """One process."""

    name: str
    phase: Phase
    since: float  # of the phase
    port: int = 0
    pid: int = 0
    recipe: str = ""  # of which command it is
    is_stable: bool = False


@dataclass(slots=True)
class Fleet:
    """`drain_s`: how long one that leaves may finish what it has."""

    drain_s: float
    recipe: str = ""  # of the command that is configured; others are replaced, new ones first
    desired: int = 0
    instances: dict[str, Instance] = field(default_factory=dict)
    crash_loop: CrashLoop = field(default_factory=CrashLoop)
    next_number: int = 1

    def steps(self, now: float) -> list[Todo]:
        """What is to be done now. The shell calls it after whatever has happened, and each second."""
        todo: list[Todo] = []
        for instance in list(self.instances.values()):
            lasted_s = now - instance.since
            if instance.phase is Phase.STARTING and lasted_s >= START_TIMEOUT_S:
                self.crash_loop.crashed(f"no health check passed within {START_TIMEOUT_S:g}s", 0.0, now)
                todo.append(self._stop(instance, now))
            elif instance.phase is Phase.DRAINING and lasted_s >= self.drain_s:
                todo.append(self._stop(instance, now))
            elif instance.phase is Phase.SERVING and not instance.is_stable and lasted_s >= STABLE_S:
                instance.is_stable = True
                self.crash_loop.became_stable()
        fresh = [each for each in self.phase(Phase.STARTING, Phase.SERVING) if each.recipe == self.recipe]
        surplus = len(fresh) - self.desired
        if surplus > 0:
            # Those that do not serve yet first, then the youngest: the oldest have warm caches and most sessions.
            for instance in sorted(fresh, key=lambda each: (each.phase is Phase.SERVING, -each.since))[:surplus]:
                todo += self._leave(instance, now)
        elif surplus < 0 and now >= self.crash_loop.not_before:
            starting = sum(each.phase is Phase.STARTING for each in fresh)
            # After a crash one is tried before all of them are.
            most = 1 if self.crash_loop.crashes else MAX_STARTS
            for _ in range(min(-surplus, most - starting)):
                name = f"auto-{self.next_number}"
                self.next_number += 1
                self.instances[name] = Instance(name, Phase.STARTING, now, recipe=self.recipe)
                todo.append(Todo(Step.START, name))
        return todo + self._replace_old(now)

    def _replace_old(self, now: float) -> list[Todo]:
        """Those of an earlier command leave as new ones serve in their place."""
        todo: list[Todo] = []
        old = [each for each in self.phase(Phase.STARTING, Phase.SERVING) if each.recipe != self.recipe]
        most = max(0, self.desired - sum(1 for each in self.phase(Phase.SERVING) if each.recipe == self.recipe))
        for instance in sorted(old, key=lambda each: (each.phase is Phase.SERVING, -each.since))[: max(0, len(old) - most)]:
            todo += self._leave(instance, now)
        return todo

    def _leave(self, instance: Instance, now: float) -> list[Todo]:
        if instance.phase is Phase.STARTING:
            return [self._stop(instance, now)]
        instance.phase, instance.since = Phase.DRAINING, now
        return []

    def _stop(self, instance: Instance, now: float) -> Todo:
        instance.phase, instance.since = Phase.STOPPING, now
        return Todo(Step.STOP, instance.name)

    # --- what has happened --------------------------------------------------------------------------------

    def adopt(self, instance: Instance) -> None:
        """It runs since before a restart of ours."""
        self.instances[instance.name] = instance
        number = instance.name.rpartition("-")[2]
        if number.isdigit():
            self.next_number = max(self.next_number, int(number) + 1)

    def passed(self, name: str, now: float) -> bool:
        """It has passed a health check. Whether it joins by that."""
        instance = self.instances.get(name)
        if instance is None or instance.phase is not Phase.STARTING:
            return False
        instance.phase, instance.since = Phase.SERVING, now
        return True

    def idle(self, name: str, now: float) -> list[Todo]:
        """One that drains has nothing under way any more."""
        instance = self.instances.get(name)
        if instance is None or instance.phase is not Phase.DRAINING:
            return []
        return [self._stop(instance, now)]

    def ended(self, name: str, how: str, now: float) -> Instance | None:
        """Its process is no more, or could not be started. Returns it when that is a crash."""
        instance = self.instances.pop(name, None)
        if instance is None or instance.phase is Phase.STOPPING:
            return None
        if instance.phase is Phase.DRAINING:  # it was to end anyway
            return None
        served_s = now - instance.since if instance.phase is Phase.SERVING else 0.0
        self.crash_loop.crashed(how, served_s, now)
        return instance

    def phase(self, *phases: Phase) -> Iterator[Instance]:
        """Those in these phases."""
        return (each for each in self.instances.values() if each.phase in phases)

    def count(self, *phases: Phase) -> int:
        return sum(1 for _ in self.phase(*phases))
