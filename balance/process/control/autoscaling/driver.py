"""What a driver does: say how many backends were asked for, and have there be another number. One file for each kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from balance.errors import BalanceError


class DriverError(BalanceError):
    """The size can't be read or changed: why, in one plain line without secrets."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of size. `token` is the fencing token of who decided it: whoever acts may refuse a smaller one than it has
    seen."""

    pool: str
    current: int
    desired: int
    token: int
    why: str

    def document(self) -> dict[str, object]:
        """As webhooks get it."""
        return {
            "pool": self.pool,
            "current": self.current,
            "desired": self.desired,
            "fencing_token": self.token,
            "reason": self.why,
        }


class Driver(ABC):
    """One pool's. An instance is used by one task; its calls may be cancelled."""

    is_shared: ClassVar[bool] = True  # whether balancers scale the same thing, and so have to agree

    @abstractmethod
    async def current(self, token: int) -> int | None:
        """How many backends were asked for last, by whomever. None: it does not know. DriverError.

        `token` is 0 where another balancer leads: then nothing may be changed by this.
        """

    @abstractmethod
    async def scale(self, change: Change) -> None:
        """Have there be `change.desired`. It may be told so again. DriverError."""

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """It is not used any more."""
