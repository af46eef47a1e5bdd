"""Every field of both logs has a row."""

import json
import logging
import sys

from balance.log_lines.access_record import FIELDS
from balance.process.logs import LineFormatter
from balance.words.log_fields import ACCESS_FIELDS, PROCESS_FIELDS


def test_every_field_of_the_access_log_has_its_row() -> None:
    assert set(ACCESS_FIELDS) == set(FIELDS)


def test_every_field_of_the_programs_log_has_its_row() -> None:
    try:
        raise ValueError
    except ValueError:
        record = logging.LogRecord("balance", logging.ERROR, "", 0, "crashed", (), sys.exc_info())
    record.request_id = record.trace_id = "id"
    assert list(json.loads(LineFormatter(True, "worker 0").format(record))) == list(PROCESS_FIELDS)


def test_every_row_says_something() -> None:
    assert all(len(row.meaning) > 5 and row.use for row in (*ACCESS_FIELDS.values(), *PROCESS_FIELDS.values()))
