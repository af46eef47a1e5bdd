"""Looks at files in control's stead, as the supervisor's user, where control has dropped its privileges: keys, and the folders
of certificates, are often for root alone.

A process by itself, as a network share that hangs may hold it up for ever, and the supervisor waits for nobody. Each
configuration has its own.
"""

from __future__ import annotations

import select
import signal
from collections.abc import Callable

from balance.discovery.settings import FileDiscovery
from balance.process.children.child import SupervisorPipe
from balance.process.children.child_context import ChildContext
from balance.process.control.certificate_watch import CertificateWatch
from balance.process.control.discovery.file_look import FileLook
from balance.process.control.file_watch import FileWatch
from balance.process.control.list_file_watch import ListFileWatch
from balance.process.ipc.messages import CERTIFICATE_CHANGED, FILE_CHANGED, FOUND_FILE, GRACEFUL_STOP, LIST_CHANGED
from balance.process.os_calls import set_parent_death_signal, set_process_name

POLL_INTERVAL_S = 1.0


def run(context: ChildContext, supervisor_pipe: SupervisorPipe) -> int:
    """The file watcher's main function. Returns the exit status."""
    set_process_name("balance-files")
    set_parent_death_signal(context.supervisor_pid, signal.SIGKILL)
    context.listen_sockets.close_copies()
    looks = _looks(context)
    found = _discovery_files(context)
    poll = select.poll()
    poll.register(supervisor_pipe.pipe_end, select.POLLIN)
    while True:
        if poll.poll(POLL_INTERVAL_S * 1000):
            messages, is_open = supervisor_pipe.pipe_end.receive()
            if not is_open or any(message.kind == GRACEFUL_STOP for message in messages):
                return 0
        for has_changed, message_kind in looks:
            if has_changed():
                supervisor_pipe.pipe_end.send(message_kind)
        for path, look in found.items():
            if (content := look.look()) is not None:
                supervisor_pipe.pipe_end.send(FOUND_FILE, (path, content.data, content.failure))


def _looks(context: ChildContext) -> list[tuple[Callable[[], bool], str]]:
    config = context.config
    found = [
        (ListFileWatch(None, lambda: config, _nothing).has_changed, LIST_CHANGED),
        (CertificateWatch(None, lambda: config, _nothing).has_changed, CERTIFICATE_CHANGED),
    ]
    if context.watch_config:
        texts = (generation.source.text for generation in context.history)
        found.append((FileWatch(None, context.generation.source.file, texts, _nothing).has_changed, FILE_CHANGED))
    return found


def _discovery_files(context: ChildContext) -> dict[str, FileLook]:
    """A look for each file of `discovery.file`, by its path."""
    sources = [pool.discovery.source for pool in context.config.pools if pool.discovery is not None]
    return {source.path: FileLook(source.path) for source in sources if isinstance(source, FileDiscovery)}


def _nothing() -> None:
    """Nobody is called: there is no loop."""
