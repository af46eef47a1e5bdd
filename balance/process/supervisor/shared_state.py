"""Shared memory, locks and backend slots of an instance: created, or inherited from the instance that an upgrade replaces."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from balance.config.model import Config
from balance.process.operations.upgrade_protocol import HandoverState
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import Locks
from balance.runtime.backend_slots import Assignment, NoRoomError, SlotBook, route_keys, rule_identities

log = logging.getLogger("balance.process")

MIN_WORKERS = 16  # that there is room for, however few are configured
SPARE_ROWS = 32  # for draining workers whose slot has a new one already
MIN_SLOTS = 16_384  # a slot that is not used costs nothing


class _OtherBucketsError(Exception):
    """The inherited memory counts by other bounds."""


@dataclass(frozen=True, slots=True)
class SharedState:
    """The assignment is not adopted by the slot book yet."""

    board: Board
    locks: Locks
    book: SlotBook
    assignment: Assignment  # for the configuration that it was made for


def create_shared_state(config: Config, handover_state: HandoverState | None) -> SharedState:
    """The inherited state where layout and size fit; else a new one with room for the configuration and as much again."""
    if handover_state is not None:
        if not handover_state.has_same_layout:
            why = "the instance before this one counted otherwise"
        elif config.workers > handover_state.max_rows // 2:
            why = f"the instance before this one had no room for {config.workers} workers"
        else:
            try:
                return _inherited(config, handover_state)
            except NoRoomError as error:
                why = str(error)
            except _OtherBucketsError:
                why = "metrics.buckets are others"
        log.warning("%s: counters and the states of backends begin anew", why)
        for fd in (handover_state.board_fd, handover_state.locks_fd):
            os.close(fd)
    backends = sum(len(pool.backends) for pool in config.pools)
    others = len(config.listeners) + len(route_keys(config)) + sum(1 for _ in rule_identities(config))
    max_slots = max(MIN_SLOTS, 2 * (backends + others) + 1)  # all may be replaced at once; slot 0 is no backend
    board = Board(0, 1, max_rows=max_row_count(config), max_slots=max_slots)
    board.set_time_buckets(config.metrics.time_buckets_us)
    book = SlotBook(max_slots)
    return SharedState(board, Locks(), book, book.assign(config, board.is_unused))


def max_row_count(config: Config) -> int:
    """The number of worker rows: for all workers, those that drain included."""
    return 2 * max(config.workers, MIN_WORKERS) + SPARE_ROWS


def _inherited(config: Config, handover_state: HandoverState) -> SharedState:
    board = Board(
        0, 1, max_rows=handover_state.max_rows, max_slots=handover_state.max_slots, inherited_fd=handover_state.board_fd
    )
    if board.time_buckets_us != config.metrics.time_buckets_us:
        raise _OtherBucketsError
    book = SlotBook(handover_state.max_slots)
    book.restore(handover_state.book)
    return SharedState(board, Locks(handover_state.locks_fd), book, book.assign(config, board.is_unused))
