"""What hurt users of other proxies in access logs: the situations of the field checklist and reports, and their tests."""

from __future__ import annotations

import pytest
from situations import assert_shown

SITUATIONS: dict[str, tuple[str, str]] = {
    "24": ("quotes, backslashes, bytes that are no UTF-8 and JSON in a user agent", """
        log_lines/test_line_formats.py::no_text_forges_a_line_in_any_format
        log_lines/test_template.py::no_text_forges_a_line
        proxy/test_access_log.py::no_client_can_break_a_line
        peers/test_real_log_readers.py::rsyslog_understands_every_message
        peers/test_real_log_readers.py::goaccess_reads_every_line_of_combined"""),
    "25": ("copytruncate, and a signal that reaches every worker", """
        proxy/log_outputs/test_file_output.py::file_that_was_truncated_begins_at_its_begin
        peers/test_real_log_readers.py::logrotate_loses_no_line_of_either_log"""),
    "26": ("several workers that rotate one file: none does, and each follows who does", """
        proxy/log_outputs/test_file_output.py::file_that_was_taken_away_is_begun_anew
        peers/test_real_log_readers.py::logrotate_loses_no_line_of_either_log"""),
    "27": ("a reader of stdout that stalls or goes, and a name of it that may not be opened", """
        process/test_log_troubles.py::pipe_that_nobody_reads_and_then_nobody_has_stops_no_request
        proxy/log_outputs/test_file_output.py::inherited_descriptor_is_written_to_where_its_name_can_not_be_opened"""),
    "28": ("a sample that leaves out what went wrong, and cannot be counted by", """
        log_lines/test_selection.py::what_is_no_normal_end_is_logged_whatever_the_sample
        log_lines/test_selection.py::sample_says_for_how_many_a_line_stands
        proxy/test_access_log.py::only_slow_requests_are_logged"""),
    "envoy#6950": ("a disk without room", """
        process/test_log_troubles.py::disk_without_room_stops_no_request_and_both_logs_go_on"""),
    "haproxy#1861, #567": ("lines that are lost on a busy stdout, or at rsyslog's socket", """
        process/test_log_troubles.py::pipe_that_nobody_reads_and_then_nobody_has_stops_no_request
        proxy/log_outputs/test_syslog_output.py::each_line_is_a_datagram"""),
    "haproxy#3153": ("a syslog server that is restarted", """
        peers/test_real_log_readers.py::rsyslog_that_is_restarted_gets_every_message"""),
    "haproxy#2205": ("a long path that costs the version behind it", """
        log_lines/test_shortened.py::longest_texts_are_cut_and_the_line_stays_json
        peers/test_real_log_readers.py::rsyslog_understands_every_message"""),
    "traefik#11342, envoy#4631": ("one of two logs that is not begun anew", """
        peers/test_real_log_readers.py::logrotate_loses_no_line_of_either_log"""),
    "traefik#4295": ("a log that somebody deleted", """
        proxy/log_outputs/test_file_output.py::file_that_was_taken_away_is_begun_anew
        process/test_log_troubles.py::disk_without_room_stops_no_request_and_both_logs_go_on"""),
    "traefik#10807, #9842": ("status 0, or another than it got, of a client that left within its reply", """
        proxy/test_access_log.py::client_that_left_within_its_reply_has_got_its_status
        proxy/test_access_log.py::client_that_left_is_logged_as_499"""),
    "caddy#593, traefik#10504": ("WebSockets without a line until they end, without a status, size or reason", """
        proxy/test_access_log.py::tunnel_has_a_line_for_its_request_and_one_for_its_end
        proxy/tunnel/test_tunnel.py::tunnel_is_counted_for_its_request_and_for_its_end"""),
    "envoy#35871": ("tries that failed and are told nowhere", """
        proxy/test_access_log.py::retried_request_names_each_backend_and_has_the_times_of_its_last_try"""),
    "envoy#21294": ("an end without any line or count", """
        process/test_symptom_commands.py::each_line_of_the_access_log_is_counted_and_what_has_none_is_counted_too"""),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_is_shown_by_tests_that_there_are(situation: str) -> None:
    assert_shown(SITUATIONS[situation][1])
