"""The numbers of one backend that a policy may read, and how they follow from what happened to its leases.

Knows nothing of sockets, names or health, and takes the time as an argument. What decays does so with one time constant.
"""

from __future__ import annotations

from math import exp, inf

DECAY_S = 10.0  # Finagle, linkerd and tower: long enough to remember a bad minute, short enough to forgive it
FIRST_S = 1.0  # what an answer is thought to take where none was seen (tower's default)
PENALTY = 20.0  # e^3: what a failure added has decayed to nothing unusual after three decay times
ANSWERS = 8  # the share that failed is of about so many answers: each of many workers must find out by itself, and soon
LOOKS = 16  # at other workers, that the mean is of: some three seconds
HALF = 0.5  # of a lease: a smaller debt counts for nothing, or it would lose every tie, and an idle pool is all ties
PAID = 0.01  # of a lease: a smaller debt is forgotten


class Peers:
    """What the loads that share it hold together. A policy that needs the sum gives one to each load of its ready set."""

    __slots__ = ("active",)

    def __init__(self, active: int = 0) -> None:
        self.active = active


class Load:
    """One backend as numbers. Concrete on purpose: a policy reads it millions of times.

    `debt` is load that nobody holds. A backend that fails at once never has much in flight, and whoever looks for the least
    loaded would send it everything. So each failed answer leaves as much of a lease behind as the share of its recent answers
    that failed: next to nothing for a stray one, a whole one when nothing else comes back. It melts with DECAY_S.
    """

    __slots__ = ("_cost_at", "_cost_s", "_debt_at", "_failing", "_latency_at", "_noted_at", "_usual_s", "active", "debt",
                 "elsewhere", "handicap", "identity", "peers", "weight")  # fmt: skip

    def __init__(self, weight: int = 1, active: int = 0, elsewhere: float = 0, identity: bytes = b"") -> None:
        self.weight = weight
        self.active = active  # leases held by this worker now, counted from the choice, not from the connect
        self.elsewhere = elsewhere  # leases that the other workers hold, see look_elsewhere()
        self.identity = identity  # the same in every worker and after every restart: where hashing puts it
        self.handicap = 1.0  # a factor on what it costs to use: above 1 while somebody who knows says so
        self.peers: Peers | None = None
        self.debt = 0.0  # as of its last change; read it through owed()
        self._debt_at = 0.0
        self._failing = 0.0  # the share of recent answers that failed
        self._noted_at = 0.0
        self._cost_s = 0.0  # peak EWMA; 0 without history
        self._cost_at = 0.0
        self._latency_at = -inf  # when the last answer came
        self._usual_s = 0.0  # what a good answer takes, not decayed: the measure of a penalty

    def look_elsewhere(self, held: int) -> None:
        """The other workers held so many leases a moment ago. Of many such looks the mean is kept.

        What was true a moment ago is true for every worker, so that all would run to the one that was least loaded then: in a
        busy fleet of 16 workers that makes p99 five times as long as if they knew nothing of each other. What stays true for
        seconds, a slow backend, the mean shows as well.
        """
        self.elsewhere += (held - self.elsewhere) / LOOKS

    def note(self, is_good: bool, now: float) -> None:
        """An answer came, or failed to. For policies that look at leases and not at latency."""
        if is_good and not self._failing:
            self._noted_at = now  # nearly always
            return
        kept = exp((self._noted_at - now) / DECAY_S) if now > self._noted_at else 1.0
        self._noted_at = now
        self._failing += ((0.0 if is_good else 1.0) - self._failing) * max(1.0 - kept, 1.0 / ANSWERS)
        if not is_good:
            self.debt = self._debt_left(now) + self._failing
            self._debt_at = now
        elif self._failing < 0.001:
            self._failing = 0.0

    def learn(self, latency_s: float, is_good: bool, now: float) -> None:
        """The same for policies that look at latency: `latency_s` is the time from the choice to the first byte of an answer.

        A failure counts as PENALTY usual answers: what fails fast must not look fast.
        """
        self.note(is_good, now)
        if is_good:
            self._usual_s += (latency_s - self._usual_s) / 16 if self._usual_s else latency_s
        else:
            latency_s = max(latency_s, PENALTY * self._usual_s or FIRST_S)
        # Peak EWMA (Finagle): a rise is believed at once, a fall only with time.
        if latency_s > self._cost_s:
            self._cost_s = latency_s
        else:
            kept = exp((self._cost_at - now) / DECAY_S) if now > self._cost_at else 1.0
            self._cost_s = self._cost_s * kept + latency_s * (1.0 - kept)
        self._cost_at = self._latency_at = now

    def owed(self, now: float) -> float:
        """The debt as it is now, in leases. Nothing below HALF."""
        left = self._debt_left(now)
        if left < PAID:
            self.debt = 0.0
        return left if left >= HALF else 0.0

    def _debt_left(self, now: float) -> float:
        return self.debt * exp((self._debt_at - now) / DECAY_S) if now > self._debt_at else self.debt

    def failing(self, now: float) -> float:
        """The share of its recent answers that failed, 0 to 1; it fades while none come."""
        if not self._failing:
            return 0.0
        return self._failing * exp((self._noted_at - now) / DECAY_S) if now > self._noted_at else self._failing

    def expected_s(self, now: float) -> float:
        """What one more request is expected to cost in seconds: latency, times all that it would wait among.

        To look is to observe a latency of 0 (Finagle): a backend that is not asked gets cheaper until it is tried again. While
        it is tried, or tried for the first time, it counts as slow: one trial, not a stampede.
        """
        cost_s = self._cost_s
        if now > self._cost_at:
            cost_s = self._cost_s = cost_s * exp((self._cost_at - now) / DECAY_S)
            self._cost_at = now
        pending = self.active
        if pending and now - self._latency_at > DECAY_S and cost_s < FIRST_S:
            cost_s = FIRST_S
        if self.debt:
            return cost_s * (pending + 1.0 + self.owed(now))
        return cost_s * (pending + 1.0)

    def __repr__(self) -> str:
        return f"Load(weight={self.weight}, active={self.active}, elsewhere={self.elsewhere})"
