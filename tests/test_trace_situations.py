"""What hurt users of other proxies in traces: the situations of the field checklist and reports, and their tests."""

from __future__ import annotations

import pytest
from situations import assert_shown

SITUATIONS: dict[str, tuple[str, str]] = {
    "29": ("contexts with version ff, zeros, another length, upper case, or twice", """
        tracing/test_traceparent.py::a_bad_one_is_none
        tracing/test_propagation.py::what_is_read_and_what_is_left
        proxy/http/test_traced.py::what_is_malformed_begins_a_new_trace_and_is_no_error"""),
    "30": ("strangers whose flag floods the store, or hides them", """
        tracing/test_trace_start.py::a_strangers_trace_does_not_and_their_flag_says_nothing
        proxy/http/test_traced.py::a_stranger_is_not_believed_but_linked_to
        proxy/http/test_traced.py::trusted_proxies_are_trusted_unless_others_are_named"""),
    "31": ("a collector that is down, at the end too; spans of workers that were forked", """
        proxy/tracing/test_exporter.py::the_end_does_not_wait_for_one_that_is_down_or_pauses
        proxy/tracing/test_exporter.py::the_end_does_not_wait_for_one_that_is_silent
        process/test_process_tracing.py::a_receiver_that_fails_costs_no_request_and_no_time_at_the_end
        process/test_process_tracing.py::workers_that_are_killed_replaced_reloaded_and_stopped"""),
    "32": ("an endpoint with its path or without; a 404", """
        tracing/test_endpoint.py::where_it_leads
        proxy/tracing/test_exporter.py::what_will_never_be_taken_is_dropped_at_once_and_told_once"""),
    "nginx-otel#70, opentelemetry-cpp-contrib#274": ("a trace that does not go on through the proxy", """
        process/test_process_tracing.py::one_trace_goes_through_client_example_and_backend"""),
    "opentelemetry-cpp-contrib#267": ("a wrong context behind large fields", """
        proxy/http/test_traced.py::on_any_way_each_backend_is_told_of_a_span_that_is_exported"""),
    "istio#22968, envoy#4397": ("parents that nobody exports, and two spans with one id", """
        proxy/http/test_traced.py::on_any_way_each_backend_is_told_of_a_span_that_is_exported"""),
    "istio#11696": ("an empty X-B3-ParentSpanId that is passed on", """
        proxy/http/test_traced.py::on_any_way_each_backend_is_told_of_a_span_that_is_exported
        tracing/test_propagation.py::no_line_of_ours_is_left_and_all_others_stay_in_order"""),
    "contour#6270, envoy#29659": ("the proxy's spans beside those of its backends, not above them", """
        proxy/http/test_traced.py::a_request_is_a_span_and_its_try_is_one_below_it"""),
    "envoy#1931": ("tries that are one span", """
        proxy/http/test_traced.py::each_try_has_a_span_and_names_itself_to_its_backend"""),
    "opentelemetry-js#897, opentelemetry-collector#12468": ("names of spans that clients make up", """
        proxy/http/test_traced.py::what_a_client_sends_is_bounded_and_its_method_makes_no_name"""),
    "opentelemetry-cpp-contrib#67": ("fields that are changed while tracing is off", """
        proxy/http/test_traced.py::without_tracing_the_fields_go_on_as_they_came"""),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_is_shown_by_tests_of_traces(situation: str) -> None:
    assert_shown(SITUATIONS[situation][1])
