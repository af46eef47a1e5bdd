"""How many file descriptors an instance needs at least, so that too low a limit is one clear error at the start."""

from __future__ import annotations

import resource

from balance.config.model import Config
from balance.errors import StartError
from balance.process.supervisor.shared_state import max_row_count
from balance.proxy.descriptor_limit import UNLIMITED, in_use, reserve

CLIENTS = 16  # minimum per worker, each with a backend connection
OTHERS = 32  # event loop, pipes, logs, shared memory
PROBES = 64  # under way at once


def needed(config: Config, open_now: int, limit: int, *, inherits: bool) -> int:
    """The need of the process that needs most. `open_now` descriptors are open here, inherited listening sockets among them."""
    wakeups = max_row_count(config)
    listening = 0 if inherits else config.workers * sum(len(listener.addresses) for listener in config.listeners)
    supervisor = listening + 2 * wakeups + config.workers  # a wakeup pair for each row, a pipe to each child
    worker = listening // config.workers + wakeups + 2 * CLIENTS
    control = wakeups + min(sum(len(pool.backends) for pool in config.pools if pool.health_check.enabled), PROBES)
    return open_now + OTHERS + reserve(limit) + max(supervisor, worker, control)


def check(config: Config, *, inherits: bool) -> None:
    """StartError when the limit is below the need."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    least = needed(config, in_use() or 0, limit, inherits=inherits)
    if (UNLIMITED if limit < 0 else limit) < least:
        listeners, backends = len(config.listeners), sum(len(pool.backends) for pool in config.pools)
        raise StartError(
            f"a process may open {limit} file descriptors, and {least} are needed at least for {_of(listeners, 'listener')}, "
            f"{_of(config.workers, 'worker')} and {_of(backends, 'backend')}: raise `ulimit -Hn` (systemd: LimitNOFILE=)"
        )


def _of(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
