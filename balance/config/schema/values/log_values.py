"""Values of `logging`: where lines go, and the template of a line."""

from __future__ import annotations

from balance.config.schema.scalars import FILE, Scalar, as_text
from balance.log_lines.syslog import is_syslog, syslog_target
from balance.log_lines.template import template_line


def _output(value: object) -> str:
    text = as_text(value)
    if is_syslog(text):
        syslog_target(text)
        return text
    return str(FILE.read(value))


def _template(value: object) -> str:
    text = as_text(value)
    if text:
        template_line(text)
    return text


LOG_OUTPUT = Scalar(_output, FILE.schema)
TEMPLATE = Scalar(_template, {"type": "string"})
