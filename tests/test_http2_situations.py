"""What hurt users of other proxies with HTTP/2 and gRPC, and where it is shown.

The numbers are those of the field checklist for HTTP/2. A row names tests (`folder/test_file.py::what_it_shows`, without
`test_`), rows of the tables that tests go through (`folder/file.py: "the row's name"`), or sentences of documents
(`docs/FILE.md: "the words as they stand there"`), one a line. To run the tests of all rows:
`pytest -n 2 -m "" $(python tests/test_http2_situations.py)`.
"""

from __future__ import annotations

import pytest
from situations import assert_shown, is_there, print_tests

NUMBERS = {*range(1, 32)}

SITUATIONS: dict[int, tuple[str, str]] = {
    1: ("more content than content-length says, or less", """
        http2/test_request_head.py::content_is_as_long_as_content_length_says
        http2_wire/test_downgrade_smuggling.py::a_request_that_is_two_is_none
        http2_wire/smuggling_rows.py: "content behind content-length: 0"
        http2_wire/smuggling_rows.py: "more content than content-length"
        http2_wire/smuggling_rows.py: "more content, in a second DATA"
        http2_wire/smuggling_rows.py: "less content than content-length"
        http2_wire/test_downgrade_smuggling.py::content_of_a_cancelled_request_is_nobody_elses
        proxy/http2/test_client_stream.py::length_that_is_not_kept_is_reset_and_its_backend_connection_closed"""),
    2: ("a content-length, and a message that ends without DATA: the check is at each end", """
        http2/test_request_head.py: "content-length and no content"
        http2/test_request_head.py::content_is_as_long_as_content_length_says
        http2_wire/smuggling_rows.py: "no content for a content-length"
        http2_wire/smuggling_rows.py: "less content, ended by an empty DATA"
        http2_wire/smuggling_rows.py: "less content, ended by trailers"
        http2_wire/test_downgrade_smuggling.py::a_reply_before_the_content_frees_no_connection"""),
    3: ("fields of a connection of HTTP/1.1 are malformed, and not dropped", """
        http2/test_request_head.py::a_request_that_could_be_another_one_is_refused
        http2_wire/smuggling_rows.py: "transfer-encoding"
        http2_wire/smuggling_rows.py: "transfer-encoding in trailers"
        http2_wire/smuggling_rows.py: "connection"
        http2_wire/smuggling_rows.py: "proxy-connection"
        http2_wire/smuggling_rows.py: "keep-alive"
        http2_wire/smuggling_rows.py: "upgrade"
        http2_wire/smuggling_rows.py: "te: chunked\""""),
    4: ("lines, NUL and blanks in names and values, also in those of the table and in crumbs of cookies", """
        http2/test_request_head.py::a_request_that_could_be_another_one_is_refused
        http2/test_request_head.py::a_field_that_the_table_has_is_looked_at_as_well
        http2_wire/smuggling_rows.py: "a line's end in a value"
        http2_wire/smuggling_rows.py: "a line in a name"
        http2_wire/smuggling_rows.py: "a name in upper case"
        http2_wire/smuggling_rows.py: "a blank in a name"
        http2_wire/smuggling_rows.py: "a blank before a value"
        http2_wire/smuggling_rows.py: "a blank behind a value"
        http2_wire/smuggling_rows.py: "NUL in a value"
        http2_wire/smuggling_rows.py: "a line's end in a kept entry"
        http2_wire/smuggling_rows.py: "a line's end in a cookie's crumb\""""),
    5: ("a method is a token", """
        http2/test_request_head.py: "a blank in :method"
        http2_wire/smuggling_rows.py: "a request line in :method"
        http2_wire/smuggling_rows.py: "a blank in :method\""""),
    6: ("a path begins with a slash and has no blank and no fragment; a scheme is no URL", """
        http2/test_request_head.py: ":scheme ftp"
        http2_wire/smuggling_rows.py: ":path without a slash"
        http2_wire/smuggling_rows.py: "an empty :path"
        http2_wire/smuggling_rows.py: ":path that is a URL"
        http2_wire/smuggling_rows.py: ":path with a blank"
        http2_wire/smuggling_rows.py: ":path with a fragment"
        http2_wire/smuggling_rows.py: ":scheme that is a URL\""""),
    7: (":authority is a host and a port, as Host is", """
        http2_wire/test_downgrade_smuggling.py::a_request_that_is_two_is_none
        http2_wire/smuggling_rows.py: ":authority with a path"
        http2_wire/smuggling_rows.py: ":authority with userinfo"
        http2_wire/smuggling_rows.py: ":authority with a query"
        http2_wire/smuggling_rows.py: ":authority with a port that is none"
        http2_wire/smuggling_rows.py: ":authority with a port above all ports\""""),
    8: (":authority and another host, host twice; host alone, and both alike, pass", """
        http2/test_request_head.py: "host twice"
        http2/test_request_head.py::what_may_pass_passes
        http2_wire/smuggling_rows.py: ":authority and another host"
        http2_wire/smuggling_rows.py: "host twice"
        http2_wire/test_downgrade_smuggling.py::what_is_right_arrives_as_it_was_sent"""),
    9: ("pseudo-fields: once, in front, and those of a request", """
        http2/test_request_head.py: ":protocol that was not offered"
        http2_wire/smuggling_rows.py: ":path twice"
        http2_wire/smuggling_rows.py: ":path behind a field"
        http2_wire/smuggling_rows.py: ":status in a request"
        http2_wire/smuggling_rows.py: "a pseudo-field that nobody knows"
        http2_wire/smuggling_rows.py: ":protocol with GET"
        http2_wire/smuggling_rows.py: "a pseudo-field in trailers\""""),
    10: ("CONNECT is answered here and reaches nobody, nor does its content", """
        http2_wire/test_downgrade_smuggling.py::a_request_that_is_two_is_none
        http2_wire/smuggling_rows.py: "CONNECT with content"
        http2_wire/smuggling_rows.py: "CONNECT with a path\""""),
    11: ("an offer of h2c goes on without the offer", """
        proxy/http2/test_protocol_choice.py::upgrade_from_http1_is_not_taken
        http2_wire/test_downgrade_smuggling.py::an_offer_of_http2_is_not_passed_on
        http2_wire/test_downgrade_smuggling.py::content_behind_an_upgrade_of_http1_is_no_request"""),
    12: ("rapid reset buys no concurrency, and ends the connection", """
        http2/test_session_floods.py::a_flood_ends_its_connection_and_is_named
        http2/test_session_floods.py: "rapid reset"
        http2/test_session_floods.py::a_reset_frees_no_place_before_its_exchange_has_ended
        proxy/http2/test_client_stream.py::a_stream_has_its_place_until_its_exchange_ends
        proxy/http2/test_http2_client_connection.py::what_is_reset_as_soon_as_it_is_asked_for_reaches_no_backend
        attacks/test_http2_floods.py::a_flood_ends_its_connections_and_is_named
        attacks/h2_attacked.py: "rapid reset (CVE-2023-44487)\""""),
    13: ("resets that we are made to send count like those that we get", """
        http2/test_session_floods.py: "made to reset by WINDOW_UPDATE"
        http2/test_session_floods.py: "made to reset by DATA behind the end"
        http2/test_session_floods.py: "made to reset by a message"
        attacks/h2_attacked.py: "made to reset by WINDOW_UPDATE 0 (CVE-2025-8671)"
        attacks/h2_attacked.py: "made to reset by a window too large"
        attacks/h2_attacked.py: "made to reset by HEADERS behind the end"
        attacks/h2_attacked.py: "made to reset by DATA behind the end"
        attacks/h2_attacked.py: "made to reset by PRIORITY of 4 bytes"
        attacks/h2_attacked.py: "made to reset by PRIORITY of itself\""""),
    14: ("CONTINUATION without end, or empty, or of a refused stream", """
        http2/test_http2_session.py::the_connection_ends
        http2/test_http2_session.py: "nine CONTINUATIONs"
        http2/test_http2_session.py: "empty CONTINUATION"
        attacks/h2_attacked.py: "CONTINUATION (CVE-2024-27316)"
        attacks/h2_attacked.py: "empty CONTINUATION (netty CVE-2026-33871)"
        attacks/h2_attacked.py: "CONTINUATION of a refused stream\""""),
    15: ("a table's entry repeated 16,000 times, 4,000 crumbs, and a window of 0", """
        http2/test_session_floods.py::ninety_cookies_are_no_bomb_and_thousands_are
        http2/test_session_floods.py::a_bomb_of_the_table_is_seen_by_what_it_makes
        http2/test_session_floods.py::who_is_too_large_is_answered_and_the_next_one_is_read_by_the_same_table
        http2/test_session_floods.py::what_is_refused_is_read_by_the_same_table
        attacks/h2_attacked.py: "an HPACK bomb (CVE-2016-6581)"
        attacks/h2_attacked.py: "cookies of a byte (CVE-2026-49975)"
        attacks/test_http2_floods.py::replies_that_are_not_taken_hold_little_and_not_for_long
        proxy/http2/test_client_stream.py::client_that_opens_its_window_by_bytes_is_cut_after_write"""),
    16: ("PINGs and SETTINGS by who does not read", """
        http2/test_session_floods.py::answers_that_nobody_reads_end_the_connection
        attacks/test_http2_floods.py::answers_that_nobody_reads_are_few
        proxy/http2/test_http2_client_connection.py::replies_of_one_turn_go_out_in_one_write"""),
    17: ("reads full of cheap frames leave others their turns", """
        http2/test_session_floods.py::many_frames_are_not_read_at_once
        http2/test_session_floods.py::frames_that_cost_us_more_are_fewer_at_once
        http2/test_session_floods.py::resets_are_few_at_once
        proxy/http2/test_http2_client_connection.py::who_has_offended_is_read_in_the_turns_that_all_of_his_kind_share
        attacks/test_http2_floods.py::a_hog_of_the_loop_lets_others_have_their_turns"""),
    18: ("tiny messages cost nothing while they are taken, and only then", """
        http2/test_session_floods.py: "small DATA that waits"
        attacks/test_http2_floods.py::small_content_that_waits_ends_its_connection
        http2/test_session_floods.py::small_messages_that_are_taken_at_once_cost_nothing
        attacks/test_http2_honest.py::pages_that_are_left_and_pings_and_cookies_pass"""),
    19: ("a page of sixty streams that is left", """
        http2/test_session_floods.py::a_page_of_sixty_streams_that_is_left_costs_nothing
        attacks/test_http2_honest.py::pages_that_are_left_and_pings_and_cookies_pass"""),
    20: ("frames that were under way when we reset", """
        http2/test_session_floods.py::frames_that_were_under_way_when_we_reset_are_no_offence
        http2/test_session_floods.py::trailers_behind_our_reset_are_read_by_the_same_table
        http2_wire/test_early_answers.py::the_stream_is_reset_behind_the_answer_without_an_error"""),
    21: ("a drain says GOAWAY twice and loses no request", """
        http2/test_session_peers.py::going_takes_two_steps_and_loses_nothing
        proxy/http2/test_http2_client_connection.py::drain_serves_what_is_under_way_and_what_crosses_the_first_goaway
        proxy/http2/test_http2_client_connection.py::client_that_does_not_answer_the_ping_is_told_the_last_stream_all_the_same
        proxy/http2/test_http2_client_connection.py::burst_of_requests_is_over_before_their_client_is_told_to_go
        peers/http2/test_http2_under_changes.py::no_request_is_lost
        peers/http2/test_real_grpcio.py::connections_that_grow_old_again_and_again_fail_no_call
        peers/http2/test_real_grpcio.py::reloads_restarts_and_upgrades_fail_no_call"""),
    22: ("a backend's GOAWAY: what it has not looked at goes elsewhere, whatever the method", """
        http2/test_session_peers.py::a_backend_that_goes_gives_back_what_it_has_not_seen
        proxy/http/http2_backends/test_upstream_connection.py::what_is_above_a_goaway_goes_elsewhere_and_the_rest_finishes
        proxy/http/http2_backends/test_upstream_connection.py::a_parked_connection_that_says_goaway_is_left
        peers/test_real_h2_backends.py::no_request_is_lost_with_connections_that_end
        peers/http2/test_real_grpcio.py::a_server_that_ends_by_itself_fails_no_call"""),
    23: ("an early answer is whole, and then a reset without an error", """
        proxy/http2/test_client_stream.py::early_reply_is_whole_and_stops_the_upload
        http2_wire/test_early_answers.py::the_stream_is_reset_behind_the_answer_without_an_error
        http2_wire/test_early_answers.py::a_client_that_ends_its_request_nevertheless_is_not_reset
        proxy/http/http2_backends/test_stream_upstream.py::an_early_reply_ends_the_upload_and_not_the_connection
        peers/http2/test_real_http2_clients.py::curl"""),
    24: ("a kept connection that dies at a request: another one, or a status, and never a refusal", """
        proxy/http2/test_client_stream.py::a_reused_connection_that_dies_is_a_new_try_or_an_error_with_a_line_and_no_refusal
        proxy/http/http2_backends/test_upstream_connection.py::a_reused_connection_that_dies_at_a_request_is_replaced
        proxy/http/http2_backends/test_upstream_connection.py::a_connection_that_dies_fails_those_on_it
        peers/test_real_h2_backends.py::a_server_that_is_killed_loses_what_it_had_and_no_more"""),
    25: ("each stream of a connection chooses its backend", """
        peers/http2/test_real_grpcio.py::each_call_of_one_channel_is_balanced_on_its_own
        docs/GRPC.md: "Every call is balanced on its own, over one connection of a client or many"
        docs/GRPC.md: "sends all calls to one pod" """),
    26: ("trailers-only stays one head that ends the stream", """
        proxy/http2/test_grpc_streams.py::trailers_only_is_one_head_that_ends_the_stream
        proxy/http/grpc/test_call.py::trailers_only_stays_so
        peers/http2/test_real_grpcio.py::a_status_its_message_and_its_fields_pass"""),
    27: ("an error of ours is a status of gRPC that says why", """
        proxy/http2/test_grpc_streams.py::an_error_of_ours_is_trailers_only
        proxy/http/grpc/test_call.py::an_error_of_ours_is_a_grpc_status
        peers/http2/test_real_grpcio.py::an_error_of_ours_has_a_status_and_says_why"""),
    28: ("te: trailers goes on, and is added for gRPC-Web", """
        proxy/http/http2_backends/test_stream_upstream.py::the_fields_of_a_connection_stay_here_and_host_is_the_authority
        proxy/http/http2_backends/test_stream_upstream.py::trailers_that_are_to_be_expected_pass_though_the_length_is_said
        proxy/http/grpc/test_call.py::a_call_of_the_web_is_one_of_grpc_to_the_backend
        docs/GRPC.md: "`te: trailers`, metadata and trailers pass unchanged" """),
    29: ("a watch that is silent for minutes", """
        proxy/http2/test_grpc_streams.py::a_watch_outlives_the_timeouts_of_other_requests
        proxy/http/grpc/test_call.py::without_a_deadline_no_timeout_but_that_of_silence_ends_a_call
        proxy/http/grpc/test_call.py::silence_of_both_sides_ends_a_call_and_is_nobodys_fault
        proxy/http2/test_grpc_streams.py::a_quiet_watch_is_nobodys_fault
        docs/GRPC.md: "**Silence** ends a call after `timeouts.tunnel` (1 h) without a byte either way" """),
    30: ("a backend that allows one stream and says so late; its refusals are no failures", """
        proxy/http/http2_backends/test_connection_pool.py::a_limit_that_comes_late_refuses_nobody
        proxy/http/http2_backends/test_connection_pool.py::a_full_connection_gets_a_second_one_beside_it
        proxy/http/http2_backends/test_upstream_connection.py::a_refused_request_goes_to_another_backend_whatever_its_method
        http2/test_session_peers.py::a_backend_s_limit_of_streams_holds_also_when_it_comes_late
        peers/test_real_h2_backends.py::many_at_once_find_room_where_few_streams_are_allowed"""),
    31: ("WebSocket of a page over HTTP/2, offered where it can be done", """
        proxy/http2/test_stream_transport.py::bytes_pass_both_ways_and_ends_are_ends
        proxy/http2/test_stream_transport.py::it_is_not_offered_where_websocket_is_off
        proxy/http/http2_backends/test_h2_over_tls.py::an_upgrade_to_an_auto_backend_has_a_connection_of_http1
        proxy/http/http2_backends/test_connection_pool.py::websockets_need_http1
        peers/http2/test_real_http2_clients.py::a_browser_loads_a_page_of_150_assets"""),
}  # fmt: skip


def test_every_situation_has_a_row() -> None:
    assert {*SITUATIONS} == NUMBERS


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_a_row_names_is_there(situation: int) -> None:
    assert_shown(SITUATIONS[situation][1])


def test_what_is_not_there_is_found() -> None:
    assert not is_there("http2/test_session_floods.py::nothing_of_the_kind")
    assert not is_there('attacks/h2_attacked.py: "no such flood"')
    assert not is_there('docs/GRPC.md: "no such words"')


if __name__ == "__main__":
    print_tests(SITUATIONS)
