"""What hurt users of other proxies in discovery, autoscalers, containers, Kubernetes and benchmarks, and where it is shown.

The numbers are those of the field checklist for operations (18 to 39, on metrics, logs, traces and the dashboard, have tables
of their own). A row names tests (`folder/test_file.py::what_it_shows`, without `test_`), or sentences of documents that say why
not (`docs/FILE.md: "the words as they stand there"`), one a line. To run the tests of all rows:
`pytest -n 2 -m "" $(python tests/test_operations_situations.py)`.
"""

from __future__ import annotations

import pytest
from situations import assert_shown, print_tests

NUMBERS = {*range(1, 18), *range(40, 51)}

# Numbers whose part has not landed. Who lands it writes the row and takes the number out; in the end there is none.
MISSING: set[int] = set()

SITUATIONS: dict[int, tuple[str, str]] = {
    1: ("a resolver that is away, or that says for a moment that there is nobody", """
        process/test_dns_discovery_instance.py::records_change_under_load_and_no_request_is_lost
        process/test_dns_discovery_instance.py::pool_follows_a_name_that_is_not_there_at_the_start_and_goes_again
        process/control/discovery/test_dns_source.py::denial_is_an_answer_and_all_else_is_a_failure
        discovery/test_endpoint_set.py::a_failure_changes_nothing_however_long_it_lasts
        discovery/test_endpoint_set.py::an_answer_without_anybody_needs_a_second_look_and_the_hold"""),
    2: ("a TTL of 0, or a failure without any, is no storm of questions", """
        discovery/dns/test_dns_refresh.py::ttl_is_kept_within_bounds
        discovery/dns/test_dns_refresh.py::pauses_after_failures_grow_to_the_normal_one"""),
    3: ("the same records in another order are no event, and a backend keeps its standing", """
        discovery/test_endpoint_set.py::the_same_set_in_another_order_is_no_event
        process/test_dns_discovery_instance.py::records_change_under_load_and_no_request_is_lost
        process/control/discovery/test_dns_source.py::every_look_asks_anew_whatever_the_ttl"""),
    4: ("an answer that is cut is asked for again over TCP, and never read as an empty one", """
        process/control/discovery/test_dns_source.py::cut_answer_is_asked_for_again_over_tcp
        process/control/discovery/test_dns_source.py::cut_answer_is_never_read_as_an_empty_one
        process/control/discovery/test_real_resolvers.py::thousand_addresses_come_over_tcp"""),
    5: ("weights of SRV records, 0 among them, in their exact ratios; priorities", """
        discovery/dns/test_srv.py::srv_records_become_endpoints
        discovery/dns/test_srv.py::ratios_are_kept_exactly_or_as_well_as_weights_can
        process/control/discovery/test_real_resolvers.py::srv_records_and_their_targets
        process/test_dns_discovery_instance.py::srv_weights_are_those_of_the_traffic"""),
    6: ("A works and AAAA fails, or the reverse: neither empties nor delays the other", """
        discovery/dns/test_dns_addresses.py::family_that_fails_neither_empties_nor_replaces_the_other
        discovery/test_endpoint_set.py::a_part_that_could_not_be_asked_stays_as_it_was
        process/control/discovery/test_dns_source.py::family_that_is_silent_does_not_delay_the_other"""),
    7: ("a file of endpoints of zero bytes, half-written or invalid", """
        discovery/test_endpoint_file.py::whatever_is_no_list_changes_nothing_and_is_said_with_its_place
        discovery/test_endpoint_file.py::a_mapping_that_is_cut_anywhere_is_a_failure
        process/control/discovery/test_file_look.py::a_file_is_found_once_it_was_the_same_in_two_looks
        process/test_discovery_instance.py::a_pool_is_what_its_file_says
        docs/DISCOVERY.md: "Write another file beside it and rename it" """),
    8: ("a file that is a ConfigMap's, or mounted by itself", """
        process/control/discovery/test_file_look.py::the_swap_of_a_configmap_is_found
        process/control/discovery/test_directory_watch.py::it_wakes_for_what_changes_in_the_folder
        docs/DISCOVERY.md: "the container keeps the old file for ever: Kubernetes does not update those mounts" """),
    16: ("200 changes in a second", """
        discovery/test_endpoint_set.py::a_burst_is_served_together_and_one_that_never_ends_after_ten_times_as_long
        process/control/discovery/test_discoverer.py::pools_that_are_due_together_are_one_order_and_one_order_is_under_way
        process/test_discovery_instance.py::bursts_of_changes_lose_no_request
        runtime/test_backend_slots.py::addresses_that_come_and_go_for_ever_take_no_slots_for_ever"""),
    17: ("an operator's drain or weight, then a refresh or a reload", """
        config/overrides/test_discovered.py::what_operators_say_of_a_discovered_backend_survives_refreshes
        config/overrides/test_discovered.py::a_backend_that_comes_back_within_the_hold_is_as_the_operator_left_it
        process/test_discovery_instance.py::what_operators_say_of_a_discovered_backend_survives_refreshes
        docs/DISCOVERY.md: "Operator, then discovery, then the file:" """),
    44: ("half a CPU of 64: one worker, by the cgroup's quota", """
        config/test_cpus.py::the_smallest_bound_holds_and_is_never_below_one
        config/test_cpus.py::version_2_quotas_of_the_group_and_of_those_above_it
        config/test_cpus.py::version_2_quota_where_the_path_is_not_visible_from_inside
        config/test_cpus.py::version_1_quota_and_its_minus_one
        kubernetes/test_manifests.py::the_cpu_limit_makes_the_workers"""),
    45: ("runAsNonRoot, a health check without curl that ends by itself, zombies of others", """
        deployments/test_image.py::the_last_stage_has_no_tool_of_the_build_and_a_user_by_number
        deployments/test_image.py::it_starts_with_nothing_mounted_and_nothing_to_write_to
        deployments/test_image.py::the_health_check_is_our_own_command_and_ends_before_docker_ends_it
        deployments/test_image.py::as_process_1_it_reaps_whom_it_did_not_start
        deployments/test_image.py::as_process_1_it_ends_at_sigterm_also_before_it_serves
        cli/test_healthcheck.py::nobody_there_and_somebody_silent_are_told_in_time
        cli/test_healthcheck.py::it_loads_little
        kubernetes/test_manifests.py::a_pod_is_nobody_and_writes_nowhere"""),
    46: ("sockets on a read-only root: their directory, mode, stale files, names that are too long", """
        deployments/test_image.py::what_it_may_not_open_is_named_in_a_line
        deployments/test_image.py::sockets_are_in_a_folder_that_is_mounted_and_the_health_check_finds_them
        process/sockets/test_listen_address.py::a_unix_socket_is_open_to_owner_and_group_and_gone_afterwards
        process/sockets/test_listen_address.py::a_socket_file_that_nobody_answers_on_is_replaced
        process/sockets/test_listen_address.py::what_cannot_be_listened_on_is_named_with_the_reason
        test_model.py::wrong_address_is_quoted_with_what_is_allowed
        kubernetes/test_manifests.py::a_pod_is_nobody_and_writes_nowhere"""),
    42: ("an autoscaler and `replicas` in the manifest: one of them says how many", """
        kubernetes/test_manifests.py::the_number_of_pods_has_one_owner
        process/control/autoscaling/test_kubernetes_driver.py::beside_an_hpa_it_refuses
        process/control/autoscaling/test_kubernetes_driver.py::where_it_may_not_see_hpas_it_says_so_once_and_goes_on"""),
    40: ("the number that it scales by is not known: the size is held, and it is never read as 0", """
        autoscaling/test_autoscaling_decision.py::a_metric_that_is_missing_holds_the_size_and_is_never_taken_for_zero
        autoscaling/test_load_meter.py::nothing_is_known_before_two_looks
        autoscaling/test_load_meter.py::latency_of_nothing_is_none_while_requests_hang
        admin/autoscaling/test_autoscaler_endpoints.py::a_number_that_is_not_known_is_no_number
        process/control/autoscaling/test_pool_autoscaler.py::a_store_that_is_gone_holds_the_size_and_is_said_once
        process/control/autoscaling/test_leaders_instances.py::without_redis_every_size_is_held_and_it_goes_on_afterwards"""),
    41: ("a restart or a new leader shrinks nothing before a whole window was watched; the last change is remembered", """
        autoscaling/test_autoscaling_decision.py::a_restart_never_shrinks_before_a_whole_window_was_observed
        autoscaling/test_autoscaling_decision.py::a_restart_does_not_forget_the_cooldown
        shared_store/test_redis_leadership.py::the_next_leader_has_a_greater_token_and_the_last_can_write_nothing
        process/control/autoscaling/test_leaders_instances.py::a_leader_that_is_killed_has_an_heir_with_a_greater_token
        process/control/autoscaling/test_leaders_instances.py::a_leader_that_was_frozen_and_wakes_up_changes_nothing
        process/control/autoscaling/test_kubernetes_driver.py::a_paused_leader_that_wakes_before_it_reads_is_refused_by_the_annotation
        process/control/autoscaling/test_kubernetes_driver.py::a_paused_leader_that_wakes_after_it_read_is_refused_by_the_version"""),
    43: ("a rolling update: readiness, preStop, drain and grace add up; all backends down restarts nobody", """
        kubernetes/test_shutdown_numbers.py::what_a_stop_takes_is_below_what_the_kubelet_gives
        kubernetes/test_shutdown_numbers.py::whoever_asks_sees_that_a_pod_is_not_ready_while_it_still_serves
        kubernetes/test_rolling_update.py::nothing_is_lost_while_a_pod_is_replaced
        kubernetes/test_rolling_update.py::with_every_backend_down_a_pod_is_not_restarted"""),
    47: ("a disruption budget that lets no node drain", """
        kubernetes/test_manifests.py::a_node_s_drain_ends"""),
    48: ("policies that cut off names and APIs; a ServiceMonitor that finds nothing", """
        kubernetes/test_manifests.py::what_a_pod_has_to_reach_it_may_reach
        kubernetes/test_manifests.py::a_component_opens_the_way_to_what_it_is_for
        kubernetes/test_manifests.py::prometheus_finds_the_pods"""),
    49: ("a closed loop hides stalls; no ports or CPU left in the client; averaged percentiles", """
        cli/bench/test_bench_load.py::a_stall_is_seen_by_all_who_would_have_asked_meanwhile
        cli/bench/test_bench_load.py::what_waits_for_a_connection_is_counted_from_its_plan
        cli/bench/test_bench_load.py::a_reply_that_does_not_come_is_an_error_that_took_the_whole_time
        cli/bench/test_bench_load.py::why_no_connection_could_be_made
        cli/bench/test_bench_limits.py::more_connections_than_local_ports_are_refused
        cli/bench/test_bench_limits.py::more_connections_than_open_files_are_refused
        cli/bench/test_bench_histogram.py::histograms_of_two_processes_are_added_up
        cli/bench/test_bench_result.py::processes_are_added_up_and_no_percentile_is_averaged
        cli/bench/test_bench_result.py::what_fails_a_run
        cli/bench/test_bench_report.py::what_a_reader_must_know_is_said"""),
    50: ("CI: a gate on latency fails by chance, manifests rot unseen; the image as anybody, read-only", """
        benchmarks/test_instructions.py::three_percent_more_pass_and_no_more
        deployments/test_image.py::hadolint_finds_nothing
        deployments/test_image.py::it_starts_with_nothing_mounted_and_nothing_to_write_to
        deployments/test_compose.py::the_schema_of_compose_holds
        deployments/test_compose.py::what_is_mounted_exists_and_is_read_alone
        deployments/test_compose.py::the_stack_serves_and_is_seen
        deployments/test_workflows.py::the_schema_holds_and_every_job_ends
        deployments/test_workflows.py::every_command_exists
        cli/bench/test_bench_compare.py::runs_that_differ_more_than_their_slices_decide
        docs/BENCHMARKING.md: "compare two versions in the same job on the same machine, in turn, and judge the ratio\"
        kubernetes/test_manifests.py::a_mistake_would_be_found"""),
    9: ("an index that goes back: a snapshot was restored, or another server answers", """
        discovery/test_consul_health.py::the_index_of_the_next_query
        process/control/discovery/test_consul_source.py::an_index_that_goes_back_begins_anew
        process/control/discovery/test_consul_source.py::an_index_that_is_none_is_no_busy_loop"""),
    10: ("no cluster leader, at the start and later: asked for ever, with pauses that differ", """
        discovery/test_discovery_backoff.py::pauses
        process/control/discovery/test_consul_source.py::without_a_leader_it_goes_on_for_ever
        process/control/discovery/test_consul_source.py::an_agent_that_is_gone_and_comes_back"""),
    11: ("a service without an address has its node's; an empty host with a port is no backend", """
        discovery/test_consul_health.py::addresses
        discovery/test_consul_health.py::what_can_not_be_used_is_left_out_and_said"""),
    12: ("410 as a status or in a 200 stream: a new list, and never the old version again", """
        process/control/discovery/test_kubernetes_source.py::a_version_that_is_too_old_is_followed_by_a_list
        process/control/discovery/test_kubernetes_source.py::a_list_that_grows_too_old_while_it_is_read_is_read_in_one_piece"""),
    13: ("one Service in several slices, in both families, `ready` absent", """
        discovery/test_endpoint_slices.py::conditions
        discovery/test_endpoint_slices.py::address_families
        discovery/test_endpoint_slices.py::the_same_endpoint_in_several_slices_is_one
        process/control/discovery/test_kubernetes_source.py::a_service_in_many_slices_is_one_set_page_by_page"""),
    14: ("a watch that goes silent", """
        process/control/discovery/test_kubernetes_source.py::a_watch_that_is_silent_is_ended_by_our_own_clock
        process/control/discovery/test_kubernetes_source.py::a_watch_that_ends_in_time_goes_on_from_what_it_told"""),
    15: ("a token that is renewed in its file", """
        process/control/http_client/test_kubernetes_access.py::a_token_is_read_again_when_it_was_refused
        process/control/discovery/test_kubernetes_source.py::in_a_pod_with_a_token_that_is_renewed"""),
}  # fmt: skip


def test_every_situation_has_a_row_or_is_said_to_be_missing() -> None:
    assert {*SITUATIONS} | MISSING == NUMBERS
    assert {*SITUATIONS} & MISSING == set(), "a number that has a row is missing no more"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_a_row_names_is_there(situation: int) -> None:
    assert_shown(SITUATIONS[situation][1])


if __name__ == "__main__":
    print_tests(SITUATIONS)
