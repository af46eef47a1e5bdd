"""What hurt users of other proxies in TLS, PROXY headers, limits, passwords, tokens and CORS: each situation and its tests.

The numbers are those of the field checklist. To run them all: `pytest -n 2 -m "" $(python tests/test_security_situations.py)`.
"""

from __future__ import annotations

import pytest
from situations import assert_shown, print_tests

SITUATIONS: dict[int, tuple[str, str]] = {
    1: ("names in another case, with a dot at the end, and what a wildcard covers", """
        tls/test_client_hello.py::a_hello_says_its_name_and_protocols
        tls/test_server_names.py::a_name_leads_to_its_own_entry_or_the_wildcard_above_it
        proxy/tls/test_handshake.py::the_certificate_is_chosen_by_the_name"""),
    2: ("a name leads around client certificates or the oldest version", """
        proxy/tls/test_verified_client.py::no_name_leads_around_the_certificate_or_the_oldest_version
        proxy/tls/test_verified_client.py::who_is_required_to_have_a_certificate_and_has_none_does_not_enter"""),
    3: ("a handshake for one name, then the Host of another", """
        proxy/tls/test_verified_client.py::a_request_is_for_the_host_that_the_connection_was_made_for"""),
    4: ("a reload while a pair does not fit, is half written or encrypted", """
        config/reading/test_tls_settings.py::a_pair_that_cannot_be_used_now_is_kept_as_it_is_served
        process/test_tls_instance.py::a_renewal_that_cannot_be_used_changes_nothing_and_is_told_once
        tls/test_pem_loading.py::the_password_of_a_key_comes_from_the_environment"""),
    5: ("a renewal by a symlink that is turned, with the same times, twice", """
        process/control/test_certificate_watch.py::a_symlink_that_leads_elsewhere_is_a_change_with_any_times
        process/control/test_certificate_watch.py::a_file_is_told_of_once_when_it_has_changed"""),
    6: ("a client that sends nothing, or a byte a second", """
        proxy/tls/test_hello_step.py::one_time_limit_holds_from_the_first_moment
        proxy/tls/test_handshake.py::a_client_that_does_not_go_on_is_cut_at_the_deadline
        attacks/test_handshake_flood.py::the_guard_counts_before_the_handshake
        attacks/test_handshake_flood.py::handshakes_that_stop_end_at_their_time_limit"""),
    7: ("no name, an unknown one, plain HTTP, and TLS on a plain port", """
        proxy/tls/test_handshake.py::the_certificate_is_chosen_by_the_name
        proxy/tls/test_hello_step.py::who_is_refused_learns_why_where_tls_has_a_word
        proxy/tls/test_hello_step.py::plain_http_is_answered_in_plain_http
        proxy/tls/test_hello_step.py::a_plain_port_answers_no_tls"""),
    8: ("an end without close_notify is no end of a message; no half-close in TLS", """
        proxy/tls/test_tls_close.py::an_upload_that_is_cut_is_no_whole_one
        proxy/tls/test_tls_close.py::in_tcp_mode_the_backend_sees_that_the_client_is_gone
        proxy/http/test_tls_upstream.py::a_body_without_length_that_ends_without_close_notify_is_truncated
        proxy/tcp/test_tls_relay.py::a_half_close_is_a_close_notify_and_the_answer_still_comes"""),
    9: ("a peer that does not answer our close, or goes on sending", """
        proxy/tls/test_tls_close.py::who_does_not_answer_a_close_is_closed_soon"""),
    10: ("thousands of certificates, each with all authorities", """
        tls/test_contexts.py::many_names_are_one_context_and_no_context_holds_authorities
        tls/test_tls_policy.py::authorities_are_loaded_where_they_count_and_nobody_elses_are"""),
    11: ("a client that comes back, to another worker or after a reload", """
        process/test_tls_instance.py::a_session_is_resumed_by_every_worker_and_over_a_renewal
        tls/test_contexts.py::what_stays_the_same_is_kept_over_a_reload
        proxy/tls/test_handshake.py::a_session_is_resumed_and_is_not_where_tickets_are_off"""),
    12: ("authorities that are missing or empty, at the start or a reload", """
        tls/test_tls_policy.py::files_that_would_let_in_nobody_are_refused_with_a_reason
        config/reading/test_tls_settings.py::authorities_that_cannot_be_read_now_refuse_the_whole_reload
        process/test_tls_instance.py::without_its_files_nothing_starts_and_nothing_is_plain"""),
    13: ("a client that says itself who its certificate is of", """
        proxy/tls/test_verified_client.py::nobody_else_can_say_who_he_is
        proxy/tls/test_verified_client.py::a_trusted_proxy_is_believed_where_certificates_don_t_count"""),
    14: ("what a certificate says, in a field (the certificate itself is in none: docs/SECURITY.md)", """
        tls/test_client_identity.py::a_certificate_is_told_in_full
        tls/test_client_identity.py::one_name_can_t_be_two
        tls/test_distinguished_name.py::a_text_is_one_line_of_printable_ascii"""),
    15: ("a revocation list that has ended, lacks an authority or is empty", """
        tls/test_tls_policy.py::files_that_would_let_in_nobody_are_refused_with_a_reason
        tls/test_tls_policy.py::a_chain_counts_up_to_the_root
        config/checking/tls/test_tls_clients.py::files_that_have_ended_or_are_for_nobody_are_told_of
        process/control/test_certificate_watch.py::a_revocation_list_that_has_ended_is_told_of_once_and_a_newer_one_is_noticed
        process/test_client_certificates.py::metrics_say_when_the_list_ends_and_who_was_refused
        proxy/tls/test_verified_client.py::the_log_says_why_a_certificate_does_not_count"""),
    16: ("a backend by its address, with a certificate for a name", """
        proxy/http/test_tls_upstream.py::an_ip_address_is_verified_as_one_and_never_sent_as_a_name
        proxy/http/test_tls_upstream.py::who_is_not_the_backend_gets_no_byte_of_a_request
        tls/test_backend_context.py::the_name_is_the_one_configured_else_the_host"""),
    17: ("a kept connection, a session or a check of another identity", """
        proxy/http/test_tls_upstream.py::a_session_is_resumed_with_the_same_identity_alone
        proxy/http/test_tls_upstream.py::new_settings_end_what_was_kept_with_the_old_ones
        proxy/http/test_tls_upstream.py::a_connection_in_use_at_a_change_serves_no_other_request
        tls/test_backend_context.py::one_context_for_each_identity_made_once
        probes/test_check_tls.py::the_certificate_must_be_for_the_traffics_name_else_the_checks_host"""),
    18: ("a ClientHello of many kilobytes, by the byte", """
        tls/test_client_hello.py::a_hello_may_be_cut_at_every_byte
        tls/test_client_hello.py::a_hello_that_never_ends_is_bounded
        proxy/tls/test_sni_pass_through.py::a_hello_may_come_byte_by_byte
        proxy/tls/test_sni_pass_through.py::who_leads_nowhere_is_closed"""),
    19: ("a ClientHello over several records; one that can't be read is not one without a name", """
        tls/test_client_hello.py::a_hello_may_come_byte_by_byte_in_records_of_one_byte
        tls/test_client_hello.py::neither_records_nor_segments_change_what_is_read
        tls/test_client_hello.py::what_is_no_hello_is_told_from_one_without_a_name
        proxy/tls/test_sni_pass_through.py::who_leads_nowhere_is_closed"""),
    20: ("clients that wait for the server to speak, PostgreSQL, random bytes", """
        proxy/tls/test_sni_pass_through.py::who_leads_nowhere_is_closed
        proxy/tls/test_hello_step.py::who_is_refused_learns_why_where_tls_has_a_word
        proxy/test_proxy_header.py::before_a_handshake_a_header_has_its_own_time"""),
    21: ("a PROXY header that is cut anywhere, or followed at once", """
        proxy_protocol/test_header_parser.py::a_header_is_read_wherever_it_is_cut_and_whatever_follows
        proxy/test_proxy_header.py::a_header_may_come_a_byte_at_a_time
        proxy/test_proxy_header.py::in_tcp_mode_the_backend_gets_what_follows_the_header"""),
    22: ("a PROXY header and a ClientHello in one segment", """
        proxy/test_proxy_header.py::a_header_may_stand_before_a_client_hello_in_one_segment"""),
    23: ("LOCAL, with addresses or without", """
        proxy_protocol/test_header_parser.py::a_header_is_read_wherever_it_is_cut_and_whatever_follows
        proxy/test_proxy_header.py::a_header_that_names_nobody_leaves_the_proxys_own_address"""),
    24: ("families that are unknown here, lengths that lie, 60 KB of fields, junk behind UNKNOWN", """
        proxy_protocol/test_header_parser.py::a_header_is_read_wherever_it_is_cut_and_whatever_follows
        proxy_protocol/test_header_parser.py::what_is_no_header_is_refused
        proxy_protocol/test_header_parser.py::any_bytes_are_a_header_or_refused_or_wanting"""),
    25: ("a header from who is not listed, or none; a listed source that comes as ::ffff:", """
        proxy/test_proxy_header.py::who_is_not_listed_is_closed_whatever_he_sends
        proxy/test_proxy_header.py::without_a_good_header_in_time_the_connection_is_closed_and_counted
        proxy/test_proxy_header.py::a_listed_source_is_known_on_a_socket_for_both_families"""),
    26: ("headers to backends: checks send one, and no two clients share a connection", """
        probes/test_check_tls.py::a_local_header_goes_before_the_handshake
        peers/test_real_proxy_protocol.py::health_checks_pass_where_a_header_is_needed
        proxy/test_proxy_header.py::a_connection_with_a_header_is_never_shared_between_clients"""),
    27: ("another X-Forwarded-For with each request", """
        attacks/test_spoofs.py::a_forged_address_is_no_way_around_a_limit
        stages/rate_limits/test_rate_limit_stage.py::it_counts_together_what_has_the_same_key"""),
    28: ("a client that moves about in its /64; an IPv4 address in another form", """
        stages/rate_limits/test_reported_limits.py::who_moves_about_in_his_ipv6_network_is_one_client
        stages/rate_limits/test_rate_limit_stage.py::it_counts_together_what_has_the_same_key
        access_lists/test_client_counts.py::ipv6_clients_count_by_their_64_and_mapped_ones_as_ipv4"""),
    29: ("millions of keys, and a flood on one", """
        rate_limiting/test_bucket_table.py::memory_of_a_million_keys_is_that_of_the_table
        rate_limiting/test_bucket_table.py::a_key_that_is_used_up_is_not_forgotten_for_others_that_are_used_less
        rate_limiting/test_token_bucket.py::a_refused_request_leaves_nothing_behind
        stages/rate_limits/test_reported_limits.py::one_clients_flood_leaves_the_others_their_own
        admin/access/test_guess_limit.py::a_million_addresses_take_no_more_memory_than_some"""),
    30: ("a Redis that takes connections and never answers", """
        shared_store/test_redis_rate_limits.py::while_redis_is_away_each_machine_goes_by_itself_or_refuses
        shared_store/test_redis_rate_limits.py::what_is_no_answer_leaves_the_limit_to_this_machine
        process/test_rate_limits_across_machines.py::whatever_happens_to_redis_no_machine_admits_more_than_the_limit_and_nobody_waits
        process/test_rate_limits_across_machines.py::with_deny_nobody_is_admitted_while_redis_is_away"""),
    31: ("keys without an end, scripts that Redis has forgotten", """
        shared_store/test_redis_rate_limits.py::a_key_that_has_lost_its_end_gets_one
        shared_store/test_redis_rate_limits.py::keys_in_redis_end_by_themselves_and_say_nothing_of_clients
        shared_store/test_redis_rate_limits.py::a_redis_that_was_flushed_or_started_again_learns_anew
        shared_store/test_redis_rate_limits.py::a_batch_whose_reply_was_lost_counts_once"""),
    32: ("an IPv4 address in another form, and networks that are read in two ways", """
        access_lists/test_address_set.py::an_address_is_found_where_a_range_has_it
        access_lists/test_address_range.py::what_can_be_read_in_two_ways_or_none_is_refused
        access_lists/test_list_file.py::the_first_wrong_line_is_told
        process/control/test_list_file_watch.py::a_wrong_list_is_told_in_one_line_and_no_change"""),
    33: ("100,000 ranges (what a look-up costs is in docs/OPERATING.md)", """
        access_lists/test_address_set.py::it_has_what_the_ranges_have_and_nothing_else
        access_lists/test_address_set.py::it_is_compact_equal_by_content_and_survives_pickling
        process/control/test_list_file_watch.py::a_change_is_told_once_it_was_the_same_in_two_looks"""),
    34: ("a token whose secret is the public key, or is empty", """
        security/test_jwt_token.py::a_token_that_is_signed_with_the_public_key_as_a_secret
        security/test_jwt_token.py::attacks
        security/test_jwt_keys.py::a_secret_that_is_none"""),
    35: ("a flood of unknown keys; an issuer that is down, at the start or later", """
        security/test_key_set.py::a_flood_of_unknown_keys_asks_once_in_a_while
        stages/security/test_jwt_stage.py::without_keys_it_is_503_at_once_and_no_401
        process/control/test_key_refresh.py::a_life_of_keys
        process/test_jwks_instance.py::a_life_of_keys_in_an_instance"""),
    36: ("keys of kinds that we do not know, in a set", """
        security/test_jwt_keys.py::of_a_set_the_keys_that_fit_are_taken_and_the_others_passed_over"""),
    37: ("exp that is missing or no time, clocks that differ, aud as a list, half of an issuer", """
        security/test_jwt_token.py::attacks
        security/test_jwt_token.py::claims
        security/test_jwt_token.py::a_token_without_an_end_where_none_is_required"""),
    38: ("two tokens, in two fields or one; bearer in any case; crit", """
        stages/security/test_jwt_stage.py::what_is_refused_says_how
        stages/security/test_jwt_stage.py::where_the_token_is
        security/test_jwt_token.py::attacks"""),
    39: ("users that there are not, told by the time that a hash takes", """
        stages/security/test_basic_auth.py::an_unknown_user_costs_the_costliest_hash
        proxy/test_who_asks.py::a_slow_hash_holds_nobody_up_and_ends_well_without_its_client"""),
    40: ("a client that sends the authorizer's fields itself", """
        stages/security/test_forward_auth.py::the_clients_own_are_removed_whatever_it_says
        stages/security/test_forward_auth.py::a_field_may_be_exchanged_for_another"""),
    41: ("a client that tells the authorizer of another request", """
        stages/security/test_forward_auth.py::what_it_is_asked
        stages/security/test_forward_auth.py::what_a_client_says_beside_never_reaches_it
        stages/security/test_forward_auth.py::it_judges_the_path_that_the_backend_gets"""),
    42: ("an upload that an authorizer judges; one that is slow, fails, or never ends", """
        stages/security/test_forward_auth.py::what_a_client_says_beside_never_reaches_it
        proxy/authorizing/test_authorizer.py::the_body_is_held_back_while_it_waits
        proxy/authorizing/test_authorizer.py::what_is_no_answer_denies_or_allows
        proxy/authorizing/test_authorizer.py::an_answer_that_is_late_is_none_and_its_connection_is_not_used_again"""),
    43: ("preflights, other OPTIONS, and refusals that a page must be able to read", """
        stages/security/test_cors_stage.py::preflight
        proxy/test_who_asks.py::a_401_can_be_read_by_the_page_and_a_preflight_needs_no_password
        proxy/test_reply_security.py::refusals_can_be_read_by_the_page
        proxy/test_reply_security.py::a_preflight_never_reaches_a_backend"""),
    44: ("Vary, fields of the backend's own, and origins that only look alike", """
        stages/security/test_cors_stage.py::replies_to_requests
        security/test_cors_origins.py::which_origins_may
        config/checking/test_security_errors.py::a_mistake_is_told_once_where_it_is"""),
    45: ("HSTS over TLS alone, and once", """
        security/test_security_headers.py::hsts_is_in_the_lines_for_tls_alone_and_backends_lines_of_it_never_go_on
        proxy/test_reply_security.py::hsts_goes_out_over_tls_as_a_trusted_proxy_tells_and_never_else
        proxy/test_reply_security.py::who_is_not_trusted_cannot_tell"""),
    46: ("a redirect to https behind a front that spoke TLS; POST, queries, ports and bad hosts", """
        stages/test_redirect.py::request_that_is_already_there_is_never_sent_in_a_circle
        stages/test_redirect.py::permanent_and_with_the_method_unless_told_otherwise
        stages/test_redirect.py::request_without_a_host_cannot_be_sent_to_another_scheme
        config/checking/test_redirect_errors.py::clients_are_sent_to_the_port_with_tls
        transform/test_redirect_target.py::request_is_sent_to
        transform/test_redirect_target.py::location_is_one_line_and_leads_to_no_other_host
        process/test_example_tls.py::the_tls_example"""),
    47: ("tokens of the admin port that are empty, short or known; how they are compared", """
        config/reading/test_admin_settings.py::what_is_wrong_is_said_in_a_line_without_the_token
        admin/access/test_access_client.py::a_token_is_found_whole
        admin/access/test_gate.py::without_a_good_token_only_probes_and_metrics_answer"""),
}  # fmt: skip


def test_none_is_left_out() -> None:
    assert list(SITUATIONS) == list(range(1, 48))


@pytest.mark.parametrize("number", SITUATIONS)
def test_a_situation_is_shown_by_tests_that_there_are(number: int) -> None:
    assert_shown(SITUATIONS[number][1])


if __name__ == "__main__":
    print_tests(SITUATIONS)
