"""The backends of the document: a row each. A row that did not change since the last document is the same object.

Where very many backends are busy, rows whose numbers alone have moved are made anew in turns: the document may come each second
then, and what it costs stays small. States, reasons and breakers never wait.
"""

from __future__ import annotations

import hashlib
from typing import Any

from balance.admin.backends import breaker_phase, is_drained, state_word
from balance.admin.dashboard.state.moment import Moment, grown, percentiles
from balance.admin.dashboard.state.reading import rounded
from balance.admin.dashboard.state.reasons import Reason, backend_reason
from balance.admin.state_view import BackendView
from balance.config.model import BackendConfig, PoolConfig
from balance.health.circuit_breaker import CAUSE, SINCE_US, STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState, Signal
from balance.health.panic import is_panic
from balance.health.states import State
from balance.runtime import counters

MOVED_ROWS = 100  # that are made anew for one document, or a quarter of them
TURNS = 4  # documents, within which every row is

UNWEIGHTED = frozenset(["round-robin"])  # algorithms that go by no weight but 0

Row = dict[str, Any]


def version(backend: BackendConfig, state: State) -> str:
    """What an order for a backend may be made dependent on: it differs when its settings or an operator's state do.

    Not when its health does, which is no operator's doing.
    """
    said = f"{backend!r} {state.word if state.is_operator_set else ''}"
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()


class BackendRows:
    """Makes the rows, and remembers the last ones."""

    def __init__(self) -> None:
        self._static: dict[str, Row] = {}
        self._config: object = None
        self._members_of: tuple[int, object] = (-1, None)
        self._members: dict[str, list[tuple[str, BackendView]]] = {}  # by pool
        self._due: dict[str, tuple[list[BreakerState], list[float | None]]] = {}  # by pool, with the breakers that it is of
        self._fixed: dict[str, tuple[tuple[Any, ...], Row]] = {}
        self._last: dict[str, tuple[tuple[Any, ...], Row]] = {}
        self._moved = 0  # rows of the last document whose numbers had moved
        self._document = 0

    def rows(self, moment: Moment, *, in_turns: bool) -> dict[str, Row]:
        """All rows by pool/name. `in_turns`: each document follows another, and who reads it has read that one."""
        view = moment.view
        if self._config is not view.config:
            self._config = view.config
            self._static = {}
            self._fixed = {}
            order = 0
            for pool in view.config.pools:
                for backend in pool.backends:
                    self._static[f"{pool.name}/{backend.name}"] = _settings(pool, backend, order)
                    order += 1
        changed_us = view.board.states_changed_us
        if self._members_of != (changed_us, view.config):
            self._members_of = changed_us, view.config
            self._members = {}
            for backend_view in view.backends():
                name = f"{backend_view.pool.name}/{backend_view.backend.name}"
                self._members.setdefault(backend_view.pool.name, []).append((name, backend_view))
            self._due.clear()
        rows: dict[str, Row] = {}
        last, self._last = self._last, {}
        turns = min(-(-self._moved // MOVED_ROWS), TURNS) if in_turns else 1
        self._moved = 0
        self._document += 1
        leases, leases_before = moment.reading.column(counters.LEASES), moment.long.reading.column(counters.LEASES)
        leases_before += [0] * (len(leases) - len(leases_before))
        place = self._document
        for pool_name, members in self._members.items():
            phases = _phases(moment, members)
            due = self._due.get(pool_name)
            if due is None or due[0] != phases:
                pairs = [(backend_view, phase) for (_, backend_view), phase in zip(members, phases, strict=True)]
                due = self._due[pool_name] = phases, due_shares(members[0][1].pool, pairs)
            taken = [max(leases[each.slot] - leases_before[each.slot], 0) for _, each in members]
            total = sum(taken)
            for (name, backend_view), phase, due_share, own in zip(members, phases, due[1], taken, strict=True):
                share = rounded(own / total) if total else None
                place += 1
                is_due = turns <= 1 or place % turns == 0
                rows[name] = self._row(moment, name, backend_view, phase, due_share, share, last.get(name), is_due=is_due)
        return rows

    def _row(
        self,
        moment: Moment,
        name: str,
        backend_view: BackendView,
        phase: BreakerState,
        due_share: float | None,
        share: float | None,
        last: tuple[tuple[Any, ...], Row] | None,
        *,
        is_due: bool,
    ) -> Row:
        view, slot = moment.view, backend_view.slot
        raw = moment.reading.raw(slot)
        whys = moment.failures.get(slot)
        fixed = self._standing(moment, name, backend_view, phase, due_share)
        inputs = fixed, share, raw, whys
        is_moving = raw != moment.window.reading.raw(slot)
        self._moved += is_moving
        if last is not None:
            is_same = not is_moving and last[0] == inputs  # nothing has moved, within the whole window
            if is_same or (not is_due and last[0][0] is fixed):
                self._last[name] = last
                return last[1]
        block, window = moment.block(slot), moment.window_block(slot)
        row = dict(fixed)
        row["active"], row["idle_connections"] = block[counters.ACTIVE], block[counters.IDLE]
        row["connections"] = block[counters.OPEN]
        if share is not None:
            row["share"] = share
        failures = max(block[counters.FAILURES] - window[counters.FAILURES], 0) + moment.errors.get(slot, 0)
        row["rate"] = moment.per_second(block[counters.LEASES] - window[counters.LEASES], moment.window)
        row["errors"] = moment.per_second(failures, moment.window)
        if whys:
            row["errors_by_why"] = whys
        times = block[counters.UPSTREAM_TIME : counters.UPSTREAM_TIME + counters.TIME_SUM]
        if times != window[counters.UPSTREAM_TIME : counters.UPSTREAM_TIME + counters.TIME_SUM]:
            row |= percentiles(grown(block, window, counters.UPSTREAM_TIME), moment.bounds_us, 0.5, 0.99)
        if ended := sum(times):
            row["mean_seconds"] = rounded(block[counters.UPSTREAM_TIME + counters.TIME_SUM] / 1e6 / ended)
        row["requests_total"] = block[counters.LEASES]
        row["failures_total"] = block[counters.FAILURES]
        row["retries_total"] = block[counters.RETRIES]
        if hit := view.board.last_hit(slot):
            row["last_hit_at"] = hit
        self._last[name] = inputs, row
        return row

    def _standing(
        self,
        moment: Moment,
        name: str,
        backend_view: BackendView,
        phase: BreakerState,
        due_share: float | None,
    ) -> Row:
        """The part of a row that moves with no request: the same object as long as it is the same."""
        view, slot, state = moment.view, backend_view.slot, backend_view.state
        drained = is_drained(view, moment.reading.cell(slot, counters.ACTIVE)) if state.is_operator_set else None
        result = view.last_result(slot)
        blamed = 0
        evidence: list[int] = []
        if backend_view.pool.breaker.enabled:
            blamed = moment.reading.cell(slot, counters.BLAMED)
            cells = view.board.evidence(slot)
            evidence = [cells[cell] for cell in (SINCE_US, UNTIL_US, TOTAL_OPENINGS, CAUSE)]
        # An ejection is written with its state.
        key = view.board.states_changed_us, phase, due_share, result, drained, blamed, evidence
        known = self._fixed.get(name)
        if known is not None and known[0] == key:
            return known[1]
        ejection = view.board.ejection(slot)
        row = self._static[name] | _standing(moment, backend_view, phase, ejection.until_us, drained, due_share, blamed)
        if due_share is not None:
            row["due_share"] = due_share
        if drained is not None:
            row["drained"] = drained
        if result is not None:
            row["check"] = {"ok": result.is_ok, "text": result.reason, "seconds": rounded(result.duration_s)}
            if result.at:
                row["check"]["at"] = round(result.at, 1)
        if ejection.total:
            row["ejections_total"] = ejection.total
        self._fixed[name] = key, row
        return row


def _settings(pool: PoolConfig, backend: BackendConfig, order: int) -> Row:
    row: Row = {
        "order": order,
        "pool": pool.name,
        "name": backend.name,
        "address": str(backend.address),
        "weight": backend.weight,
        "backup": backend.backup,
    }
    if backend.region:
        row["region"] = backend.region
    if backend.max_connections:
        row["max_connections"] = backend.max_connections
    return row


def _standing(
    moment: Moment,
    backend_view: BackendView,
    phase: BreakerState,
    until_us: int,
    drained: bool | None,
    due_share: float | None,
    blamed: int,
) -> Row:
    """Its state, and why it is out."""
    view, state, pool = moment.view, backend_view.state, backend_view.pool
    words = view.board.reason(backend_view.slot)
    row: Row = {"state": state_word(backend_view), "version": version(backend_view.backend, state)}
    if words:
        row["why"] = words
    if backend_view.since:
        row["since_at"] = backend_view.since
    open_for_s, cause = 0.0, ""
    if pool.breaker.enabled:
        evidence = view.board.evidence(backend_view.slot)
        cause = Signal(evidence[CAUSE]).text
        open_for_s = (evidence[UNTIL_US] - moment.now_us) / 1e6
        row["breaker"] = breaker = {"state": phase.word, "opened_total": evidence[TOTAL_OPENINGS]}
        breaker["failures_total"] = blamed
        if cause:
            breaker["why"] = cause
        if evidence[SINCE_US]:
            breaker["since_at"] = round(moment.now - (moment.now_us - evidence[SINCE_US]) / 1e6)
        if phase is BreakerState.OPEN:
            breaker["back_at"] = round(moment.now + open_for_s)
    reason = backend_reason(
        state,
        words,
        pool.health_check,
        weight=backend_view.backend.weight,
        ejected_for_s=(until_us - moment.now_us) / 1e6,
        breaker=phase,
        breaker_words=cause,
        open_for_s=open_for_s,
        drained=drained,
        is_idle_backup=backend_view.backend.backup and not due_share,
    )
    return row | _told(reason, moment.now)


def _told(reason: Reason | None, now: float) -> Row:
    if reason is None:
        return {"out": False}
    told: Row = {"out": True, "reason": reason.text}
    if reason.back_in_s is not None:
        told["back_at"] = round(now + reason.back_in_s)
    return told


def _phases(moment: Moment, members: list[tuple[str, BackendView]]) -> list[BreakerState]:
    """The breakers of a pool's backends."""
    if not members[0][1].pool.breaker.enabled:
        return [BreakerState.CLOSED] * len(members)
    board = moment.view.board
    return [
        breaker_phase(backend_view, moment.view, moment.now_us)
        if board.evidence(backend_view.slot)[STATE]
        else BreakerState.CLOSED
        for _, backend_view in members
    ]


def due_shares(pool: PoolConfig, members: list[tuple[BackendView, BreakerState]]) -> list[float | None]:
    """The part of the pool's requests that each backend is due by its weight, among those that are ready; None without any.

    Backups count while no other is ready, and in a panic all count that no operator has taken out. Slow starts, sessions, hash
    keys and load make what they get differ, which is what the comparison is for.
    """
    primaries = [each for each in members if not each[0].backend.backup]
    backups = [each for each in members if each[0].backend.backup]

    def ready(among: list[tuple[BackendView, BreakerState]]) -> list[BackendView]:
        return [
            backend_view
            for backend_view, phase in among
            if backend_view.backend.weight and backend_view.state.is_ready and phase is BreakerState.CLOSED
        ]

    weighted = [each for each, _ in primaries if each.backend.weight]
    if is_panic(
        [each.state for each in weighted],
        pool.health_check.panic_threshold,
        [each.state for each, _ in backups if each.backend.weight],
    ):
        used = [each for each in weighted if not each.state.is_operator_set]
    else:
        used = ready(primaries) or ready(backups)
    weights = {each.slot: 1 if pool.algorithm in UNWEIGHTED else each.backend.weight for each in used}
    total = sum(weights.values())
    return [rounded(weights.get(each.slot, 0) / total) if total else None for each, _ in members]
