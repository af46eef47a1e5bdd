"""Errors of `logging` that no single value has: keys that would do nothing, outputs that can't be what they are said to be."""

from __future__ import annotations

import os
from collections.abc import Iterator

from balance.config.model import Config
from balance.config.reading.document import Path
from balance.log_lines.syslog import Transport, is_syslog, syslog_target

ACCESS = ("logging", "access_log")


def log_errors(config: Config) -> Iterator[tuple[Path, str]]:
    """Each with the key that it is at."""
    access = config.logging.access_log
    if access.format == "template" and not access.template:
        yield (*ACCESS, "template"), 'format template needs a template, like template: "{client} {method} {path} {status}"'
    if access.template and access.format != "template":
        yield (*ACCESS, "template"), f"the format is {access.format}, which has no template; write format: template"
    if access.sample == 1.0 and access.slow_threshold_s:
        yield (
            (*ACCESS, "slow_threshold"),
            "with sample: 1 every request is logged; leave sample out for slow ones alone",
        )
    for path, output in output_paths(config):
        if os.path.isdir(output):
            yield path, f"{output!r} is a folder; write the path of a file in it, like {os.path.join(output, 'balance.log')!r}"
    if is_syslog(config.logging.output):
        target = syslog_target(config.logging.output)
        if target.transport is not Transport.UNIX and not target.address.is_ip:
            yield (
                ("logging", "output"),
                f"{config.logging.output!r}: {target.address.host!r} is no address; only the access log looks up names",
            )


def output_paths(config: Config) -> Iterator[tuple[Path, str]]:
    """The outputs that are files, with their keys."""
    access = config.logging.access_log
    for path, output in ((("logging", "output"), config.logging.output), ((*ACCESS, "output"), access.output)):
        if output not in ("stdout", "stderr") and not is_syslog(output):
            yield path, output
