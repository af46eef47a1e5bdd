"""The program's log: the format of its lines and where they go. The access log is in balance.proxy.access_log.

Logging never blocks: a line is one write(2) without a lock between processes; a line that a full pipe does not take is dropped
and counted, and the count is logged once there is room.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
import time

from balance.config.model import LoggingConfig
from balance.errors import StartError
from balance.log_lines.syslog import is_syslog, syslog_target
from balance.process.syslog_handler import SyslogHandler
from balance.proxy.log_outputs.file_output import INHERITED

# A pipe that polls as writable takes this much without blocking (POSIX PIPE_BUF), and lines up to it are not torn apart
# when several processes write.
LINE_BYTES = 4096
MESSAGE_CHARS = 2000
TRACE_CHARS = 1200  # the end of a traceback is kept
NO_FILE = -1  # the descriptor of an output that has none
NOTE_BYTES = 200  # the line that reports dropped lines

# What ends a line for some reader, controls a terminal or turns a text around: controls, U+2028, bidirectional marks.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")

IDS = ("request_id", "trace_id")  # what a record may have of the request that it speaks of, by `extra`

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LineFormatter(logging.Formatter):
    """One record as one line, as text or JSON. `process` is the name: supervisor, worker 0, control."""

    def __init__(self, is_json: bool, process: str) -> None:
        super().__init__()
        self._is_json = is_json
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info)[-TRACE_CHARS:] if record.exc_info else ""
        message = record.getMessage()
        if len(message) > MESSAGE_CHARS:
            message = message[:MESSAGE_CHARS] + "..."
        level = record.levelname.lower()
        ids = {name: str(value) for name in IDS if (value := getattr(record, name, None))}
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        if self._is_json:
            about = {"time": when, "level": level, "process": self._process, "message": message} | ids
            return _json_line(about | {"trace": trace} if trace else about)
        # Log injection: a line break in a message could forge a line.
        known = "".join([f" {name}={value}" for name, value in ids.items()])
        text = _UNSAFE.sub(_escaped, f"{when} {level:<7} {self._process}: {message}{known}")
        # A line begins with its time; those of a traceback, whose last one may have what a client sent, are indented.
        return "\n".join([text, *(f"  {_UNSAFE.sub(_escaped, line)}" for line in trace.splitlines())])


class LineHandler(logging.Handler):
    """Writes lines to a file descriptor; never raises or blocks."""

    def __init__(self, fd: int, process: str) -> None:
        super().__init__()
        self.fd = fd
        self.process = process
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # POLLERR and POLLHUP are always reported: the reader is gone and a write would fail.
            events = self._poll.poll(0)
            if not events or events[0][1] != select.POLLOUT:
                self._dropped += 1
                return
            line = self.format(record).encode("utf-8", "backslashreplace")
            if self._dropped:
                line = self._note(record).encode() + b"\n" + line
            os.write(self.fd, line[: LINE_BYTES - 1] + b"\n")
            self._dropped = 0
        except Exception:  # a full disk or a bad format must not fail a request
            self._dropped += 1

    def _note(self, before: logging.LogRecord) -> str:
        """The line that reports dropped lines."""
        text = f"{self._dropped} lines were lost: nobody took them"
        note = logging.LogRecord(before.name, logging.WARNING, "", 0, text, (), None)
        return self.format(note)


def _json_line(fields: dict[str, str]) -> str:
    """Cuts what is too long inside its strings, so that the line stays JSON. A character may take six bytes."""
    while True:
        line = _UNSAFE.sub(_json_escaped, json.dumps(fields, ensure_ascii=False))
        if len(line.encode("utf-8", "backslashreplace")) < LINE_BYTES - NOTE_BYTES:
            return line
        half = len(fields["message"]) // 2
        if len(trace := fields.get("trace", "")) > half:
            fields["trace"] = trace[-(len(trace) // 2) :] if len(trace) > 1 else ""
        else:
            fields["message"] = fields["message"][:half] + "..."


def is_file(output: str) -> bool:
    """Whether it is one, and no stream that was inherited."""
    return output not in INHERITED and not is_syslog(output)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _json_escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def open_output(config: LoggingConfig) -> int:
    """The descriptor that lines go to. StartError when a file cannot be opened."""
    if is_syslog(config.output):
        return NO_FILE
    inherited = INHERITED.get(config.output)
    if inherited == 1:
        return sys.__stdout__.fileno() if sys.__stdout__ else 1
    if inherited == 2:
        return sys.__stderr__.fileno() if sys.__stderr__ else 2
    try:
        # O_NONBLOCK: a FIFO without a reader would block the supervisor and every worker.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(config.output, flags, 0o640)
    except OSError as error:
        raise StartError(f"logging.output: cannot open {config.output!r}: {error.strerror}") from None


def configure(config: LoggingConfig, fd: int, process: str) -> None:
    """Send everything that is logged in this process to `fd`."""
    logging.raiseExceptions = False
    handler: LineHandler | SyslogHandler = (
        SyslogHandler(syslog_target(config.output), process) if is_syslog(config.output) else LineHandler(fd, process)
    )
    handler.setFormatter(LineFormatter(config.format == "json", process))
    root = logging.getLogger()
    for before in root.handlers:
        if isinstance(before, SyslogHandler):
            before.close()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries: only what is wrong
    logging.getLogger("balance").setLevel(LEVELS[config.level])
    logging.captureWarnings(True)


def configure_child(config: LoggingConfig, process: str) -> None:
    """In a child, after the fork: the same log under the child's name."""
    configure(config, _handler().fd, process)


def reopen(config: LoggingConfig, opened: int | None = None) -> None:
    """Apply the logging section; a file is opened anew, for it may have been rotated. On failure the old one is kept.

    `opened` is that file, where the supervisor has opened it.
    """
    before = _handler()
    try:
        fd = open_output(config) if opened is None else opened
    except StartError as error:
        logging.getLogger("balance.process").error("%s; the log goes on where it was", error)
        return
    configure(config, fd, before.process)
    if before.fd > 2:
        os.close(before.fd)


def _handler() -> LineHandler | SyslogHandler:
    return next(handler for handler in logging.getLogger().handlers if isinstance(handler, LineHandler | SyslogHandler))
