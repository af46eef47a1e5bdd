"""Warnings about timeouts without effect: of the other mode, or overridden by the pool's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from balance.config.build import KeyPaths
from balance.config.checking.pool_users import users_of
from balance.config.model import Config, ListenerConfig
from balance.config.reading.document import Path
from balance.config.schema.units import format_duration
from balance.model import Mode

MODE_OF = {
    "idle": Mode.TCP,
    **dict.fromkeys(("read", "write", "request", "tunnel", "client_header", "client_body", "keepalive"), Mode.HTTP),
}  # connect and half_closed apply to both modes


def unused_timeouts(config: Config, paths: KeyPaths) -> Iterator[tuple[Path, str]]:
    """The path of each such key in the file, with the reason."""
    document = paths.document
    by_pool = {pool: [listener for _, listener in users] for pool, users in users_of(config).items()}
    for index, listener in enumerate(config.listeners):
        section = (*paths.listeners[index], "timeouts")
        if section == ("timeouts",) or not document.has(section):
            continue
        yield from _of_other_mode(paths, section, [listener])
        pools = [pool for pool, users in by_pool.items() if any(user is listener for user in users)]
        # With several pools the listener's own are for those that have none.
        of_pool = (*paths.pools[[*by_pool].index(pools[0])], "timeouts") if len(pools) == 1 else ("timeouts",)
        for key in document.at(section):
            if of_pool != ("timeouts",) and document.has((*of_pool, key)):
                value = format_duration(getattr(listener.timeouts, f"{key}_s"))
                yield (*section, key), f"has no effect: pool {listener.pool!r} has its own, {value}"
    for index, users in enumerate(by_pool.values()):
        section = (*paths.pools[index], "timeouts")
        if section != ("timeouts",):
            yield from _of_other_mode(paths, section, users)
    yield from _of_other_mode(paths, ("timeouts",), config.listeners)


def _of_other_mode(paths: KeyPaths, section: Path, users: Sequence[ListenerConfig]) -> Iterator[tuple[Path, str]]:
    """Keys of the section that none of its listeners uses."""
    if not users or not paths.document.has(section):
        return
    modes = {listener.mode for listener in users}
    for key in paths.document.at(section):
        mode = MODE_OF.get(key)
        if mode is not None and mode not in modes:
            names = ", ".join(repr(listener.name) for listener in users[:3])
            verb = "has" if len(users) == 1 else "have"
            other = (modes - {mode}).pop()
            yield (*section, key), f"has no effect: listener{'s' * (len(users) > 1)} {names} {verb} mode {other.value}"
