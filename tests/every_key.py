"""Every key of a configuration, a value for it that is not its default, and the test that shows what it does.

The test is one that fails when the key is ignored. A key that may stand in several places has one row, by its name at the top.
"""

from pathlib import Path
from typing import Any, NamedTuple


class Key(NamedTuple):
    value: Any
    test: str
    follows: frozenset[str] = frozenset()  # fields of the model that are derived from it


PAGE = str(Path(__file__).resolve().parent.parent / "deployments" / "examples" / "pages" / "503.html")

COUNTRIES = str(Path(__file__).resolve().parent / "countries.mmdb")

HTPASSWD = str(Path(__file__).resolve().parent.parent / "deployments" / "examples" / "users.htpasswd")
PEM = str(Path(__file__).resolve().parent.parent / "deployments" / "examples" / "tokens.pem")
JWKS = str(Path(__file__).resolve().parent.parent / "deployments" / "examples" / "tokens.jwks")
SCRYPT = "scrypt:16:8:1$c2FsdA$" + "00" * 32

ADMIN_TOKEN = str(Path(__file__).resolve().parent.parent / "deployments" / "examples" / "admin.token")
OTHER_ADMIN_TOKEN = str(Path(__file__).resolve().parent / "admin" / "other.token")
ADDRESSES = str(Path(__file__).resolve().parent.parent / "deployments" / "examples" / "blocked.txt")

_LINES = "tests/proxy/test_access_log.py::"
_ACCESS = "tests/proxy/test_listener_access.py::"
_HEADER = "tests/proxy/test_proxy_header.py::"
_GUARD = "tests/proxy/test_connection_guard.py::"
_CERTIFICATES = Path(__file__).resolve().parent.parent / "deployments" / "examples" / "certificates"
CERTIFICATE = {"cert_file": str(_CERTIFICATES / "example.crt"), "key_file": str(_CERTIFICATES / "example.key")}
CLIENT_CERTIFICATE = {f"client_{name}": file for name, file in CERTIFICATE.items()}
_SAME_CERTIFICATE = f"{_CERTIFICATES}/../certificates/example.crt"
_SAME_KEY = f"{_CERTIFICATES}/../certificates/example.key"
CLIENTS = {"client_auth": "require-and-verify", "client_ca_file": str(_CERTIFICATES / "clients-ca.crt")}
_SAME_CA = f"{_CERTIFICATES}/../certificates/clients-ca.crt"
_CRL_FILE = str(_CERTIFICATES / "clients.crl")
_CLIENTS = "tests/proxy/tls/test_verified_client.py::"
_ADMIN_TLS = "tests/admin/serving/test_serving_acceptor.py::"
_GATE = "tests/admin/access/test_gate.py::"
_DASHBOARD = "tests/admin/dashboard/test_dashboard_endpoints.py::"
_TO_BACKENDS = "tests/proxy/http/test_tls_upstream.py::"
_BACKEND_VERIFIED = _TO_BACKENDS + "test_a_backend_is_verified_and_its_connection_is_used_again"
_CLIENT_SHOWN = _TO_BACKENDS + "test_our_certificate_is_shown_to_a_backend_that_asks"
_SHARED = "tests/proxy/http/http2_backends/test_connection_pool.py::"
_TLS = "tests/proxy/tls/test_handshake.py::"
_TLS_NAME = _TLS + "test_the_certificate_is_chosen_by_the_name"
_PASSWORD = "tests/tls/test_pem_loading.py::test_the_password_of_a_key_comes_from_the_environment"

_ENDPOINTS = "tests/discovery/test_endpoint_set.py::test_"
_DNS = "tests/process/control/discovery/test_dns_source.py::test_"
_CONSUL = "tests/process/control/discovery/test_consul_source.py::test_"
_KUBERNETES = "tests/process/control/discovery/test_kubernetes_source.py::test_"
_SCALER = "tests/autoscaling/test_autoscaling_decision.py::"
_DRIVERS = "tests/process/control/autoscaling/"
_SCALED = _DRIVERS + "test_pool_autoscaler.py::"
_EXEC_DRIVER = _DRIVERS + "test_exec_driver.py::"
_WEBHOOK = _DRIVERS + "test_webhook_driver.py::"
_SCALED_DEPLOYMENT = _DRIVERS + "test_kubernetes_driver.py::test_it_reads_the_replicas_fences_and_sets_the_scale"
_SCRAPE = "tests/admin/metrics/test_metrics_keys.py::"
_HTTP2 = "tests/proxy/http2/test_http2_client_connection.py::"
_CLIENT = "tests/proxy/http/test_client.py::"
_BASIC = "tests/stages/security/test_basic_auth.py::"
_BASIC_EXAMPLE = "tests/process/test_example_security.py::"
_JWT = "tests/stages/security/test_jwt_stage.py::"
_FORWARD_AUTH = "tests/stages/security/test_forward_auth.py::"
_KEY_SET = "tests/security/test_key_set.py::test_a_source_is_what_the_file_says"
_TOKEN = "tests/security/test_jwt_token.py::"
_CORS = "tests/stages/security/test_cors_stage.py::"
_HEADERS = "tests/stages/security/test_headers_stage.py::"
_COMPRESSED = "tests/proxy/http/routed/test_encoded_reply.py::"
_COMPRESSION = "tests/stages/test_compression.py::"
_COOKIE = "tests/proxy/http/test_session_cookie.py::test_the_cookie_is_the_one_that_is_configured"
_EXCHANGE = "tests/proxy/http/exchange/test_exchange.py::"
_LIMITS = "tests/proxy/test_settings.py::test_what_is_beyond_a_limit_never_reaches_a_backend"
_JUDGED = "tests/probes/test_probes_http.py::test_a_reply_is_judged_by_status_and_body"
_LIMIT = "tests/stages/rate_limits/test_rate_limit_stage.py::"
_REDIRECT = "tests/transform/test_redirect_target.py::test_request_is_sent_to"
_REPEATS = "tests/proxy/http/exchange/test_resend.py::"
_ROUTER = "tests/runtime/test_routes.py::"
_ROUTES = "tests/routing/test_route_table.py::"
_RULES = "tests/stages/rules/test_rules_stage.py::"
_TRANSFORMED = "tests/proxy/http/test_transformed.py::"
_TRACED = "tests/proxy/http/test_traced.py::"
_SPANS = _TRACED + "test_a_request_is_a_span_and_its_try_is_one_below_it"
_UPSTREAM = "tests/proxy/http/test_upstream.py::"

# The model has no default for them: every test shows what they do.
REQUIRED = frozenset(
    [
        "mode",
        "listen",
        "listeners[].listen",
        "backends[].address",
        "backends[].name",
        "listeners[].name",
        "listeners[].pool",
        "http.transform.request_headers[].action",
        "http.transform.request_headers[].name",
        "http.transform.response_headers[].action",
        "http.transform.response_headers[].name",
        "http.transform.rewrite[].regex",
        "http.transform.rewrite[].replacement",
        "http.routes[].name",
        "http.routes[].split[].pool",
        "http.routes[].policy.canary.pool",
        "http.routes[].policy.blue_green.blue",
        "http.routes[].policy.blue_green.green",
        "http.routes[].policy.mirror.pool",
        "http.routes[].policy.rules[].action",
        "discovery.file.path",
        "discovery.dns.name",
        "discovery.consul.service",
        "discovery.kubernetes.service",
    ]
)

KEYS: dict[str, Key] = {
    "discovery.file.path": Key(
        "other.yaml", "tests/process/control/discovery/test_file_source.py::test_a_file_is_reported_whenever_it_changes"
    ),
    "discovery.dns.name": Key("other.example", f"{_DNS}both_families_are_asked_and_the_smaller_ttl_counts"),
    "discovery.dns.type": Key("srv", f"{_DNS}srv_records_have_ports_weights_and_priorities", frozenset(["DnsDiscovery.port"])),
    "discovery.dns.port": Key(81, f"{_DNS}both_families_are_asked_and_the_smaller_ttl_counts"),
    "discovery.dns.refresh": Key("10s", f"{_DNS}every_look_asks_anew_whatever_the_ttl"),
    "discovery.dns.resolvers": Key(["10.0.0.2:5353"], f"{_DNS}both_families_are_asked_and_the_smaller_ttl_counts"),
    "discovery.consul.service": Key("other", f"{_CONSUL}what_is_asked"),
    "discovery.consul.address": Key(
        "https://127.0.0.1:8502", f"{_CONSUL}changes_come_as_they_happen_and_queries_wait_for_them"
    ),
    "discovery.consul.tag": Key(["a", "b"], f"{_CONSUL}what_is_asked"),
    "discovery.consul.datacenter": Key("dc2", f"{_CONSUL}what_is_asked"),
    "discovery.consul.token": Key("t", f"{_CONSUL}what_is_asked"),
    "discovery.consul.token_file": Key(
        "token", f"{_CONSUL}a_token_that_was_renewed_in_its_file_is_read_anew_when_it_is_refused"
    ),
    "discovery.consul.ca_file": Key("ca.pem", f"{_CONSUL}over_tls"),
    "discovery.kubernetes.service": Key("other", f"{_KUBERNETES}what_is_asked_for"),
    "discovery.kubernetes.namespace": Key("shop", f"{_KUBERNETES}what_is_asked_for"),
    "discovery.kubernetes.port": Key("https", f"{_KUBERNETES}what_is_asked_for"),
    "discovery.kubernetes.family": Key("ipv6", f"{_KUBERNETES}what_is_asked_for"),
    "discovery.kubernetes.kubeconfig": Key("config", f"{_KUBERNETES}what_is_asked_for"),
    "discovery.hold": Key("5s", f"{_ENDPOINTS}names_that_vanish_are_remembered_for_the_hold"),
    "discovery.debounce": Key("1s", f"{_ENDPOINTS}what_comes_while_an_order_is_served_is_not_lost"),
    "discovery.on_empty": Key("empty", f"{_ENDPOINTS}an_answer_without_anybody_needs_a_second_look_and_the_hold"),
    "autoscaler.enabled": Key(
        True, _DRIVERS + "test_autoscalers.py::test_each_pool_has_the_driver_that_it_says_when_it_is_enabled"
    ),
    "autoscaler.min": Key(3, _SCALER + "test_bounds_step_and_cooldown_are_the_configurations"),
    "autoscaler.max": Key(7, _SCALER + "test_bounds_step_and_cooldown_are_the_configurations"),
    "autoscaler.metric": Key("active", _SCALER + "test_latency_is_a_ratio_over_those_that_serve"),
    "autoscaler.target": Key(50, _SCALER + "test_latency_is_a_ratio_over_those_that_serve"),
    "autoscaler.interval": Key("5s", _SCALED + "test_a_change_is_noted_before_it_is_done_and_afterwards"),
    "autoscaler.cooldown": Key("1m", _SCALER + "test_bounds_step_and_cooldown_are_the_configurations"),
    "autoscaler.step": Key(2, _SCALER + "test_bounds_step_and_cooldown_are_the_configurations"),
    "autoscaler.window": Key("1m", _SCALER + "test_a_restart_does_not_forget_the_cooldown"),
    "autoscaler.driver": Key(
        "exec", _DRIVERS + "test_autoscalers.py::test_each_pool_has_the_driver_that_it_says_when_it_is_enabled"
    ),
    "autoscaler.command": Key(["scale", "{desired}"], _EXEC_DRIVER + "test_it_is_told_by_its_arguments_and_its_environment"),
    "autoscaler.url": Key("https://scaler.example/scale", _WEBHOOK + "test_it_gets_the_number_the_token_and_our_secret"),
    "autoscaler.token": Key("a-token", _WEBHOOK + "test_it_gets_the_number_the_token_and_our_secret"),
    "autoscaler.deployment": Key("shop/web", _SCALED_DEPLOYMENT),
    "autoscaler.kubeconfig": Key("kubeconfig.yaml", _SCALED_DEPLOYMENT),
    "autoscaler.timeout": Key("3s", _EXEC_DRIVER + "test_one_that_hangs_is_killed_with_its_children"),
    "autoscaler.dry_run": Key(True, _SCALED + "test_a_dry_run_says_what_it_would_do_and_touches_nothing"),
    "mode": Key("tcp", "tests/proxy/tcp/test_session.py::test_bytes_pass_both_ways"),
    "listen": Key(":8081", "tests/process/test_instance.py::test_a_unix_socket_is_served_and_its_file_is_gone_afterwards"),
    "workers": Key(
        2,
        "tests/process/test_sticky_across_workers.py::test_a_cookie_is_known_to_every_worker",
    ),
    "listeners[].name": Key("web", "tests/proxy/test_acceptor.py::test_a_socket_may_lead_to_another_listener"),
    "user": Key("daemon", "tests/process/test_privileges.py::test_workers_and_control_become_the_user"),
    "group": Key("daemon", "tests/process/test_privileges.py::test_workers_and_control_become_the_user"),
    "max_clients": Key(10, "tests/proxy/test_acceptor.py::test_who_finds_no_room_waits_and_is_served_in_turn"),
    "listeners[].pool": Key("q", "tests/runtime/test_snapshot.py::test_listeners_share_the_pool_that_they_name"),
    "backends[].name": Key(
        "b", "tests/proxy/test_access_log.py::test_line_says_who_asked_what_where_it_went_and_how_long_it_took"
    ),
    "backends[].address": Key("127.0.0.1:9009", "tests/proxy/tcp/test_session.py::test_unix_sockets_on_both_sides"),
    "backends[].weight": Key(3, "tests/runtime/test_snapshot.py::test_a_pool_of_every_algorithm_chooses_by_its_new_weights"),
    "backends[].max_connections": Key(
        1, "tests/proxy/net/test_queue_timer.py::test_a_full_backend_is_passed_over_while_others_have_room"
    ),
    "backends[].protocol": Key("h2c", _SHARED + "test_requests_share_a_connection"),
    "backend_protocol": Key("h2c", _SHARED + "test_requests_share_a_connection"),
    "backends[].backup": Key(
        True, "tests/runtime/test_backups.py::test_backups_get_nothing_while_a_primary_is_ready_and_then_share_by_the_algorithm"
    ),
    "backends[].metadata": Key(
        {"rack": "7"}, "tests/admin/test_backends.py::test_a_backend_is_shown_with_what_was_written_next_to_it"
    ),
    "load_balancer.algorithm": Key("random", "tests/runtime/test_snapshot.py::test_pool_chooses_by_the_algorithm_it_names"),
    "load_balancer.hash_key": Key(
        "header:X-User", "tests/proxy/test_keys.py::test_same_header_goes_to_the_same_backend_and_others_spread"
    ),
    "health_check.enabled": Key(True, "tests/process/control/test_control.py::test_readiness_follows_the_backends"),
    "health_check.type": Key(
        "http", "tests/process/control/test_control.py::test_a_command_of_the_users_decides_in_a_whole_instance"
    ),
    "health_check.interval": Key(
        "3s", "tests/health/test_probe_interval.py::test_probes_come_slower_while_a_backend_stays_down"
    ),
    "health_check.timeout": Key(
        "1s", "tests/probes/test_probes_http.py::test_a_server_that_never_answers_is_given_up_at_the_timeout"
    ),
    "health_check.jitter": Key(0.5, "tests/health/test_probe_interval.py::test_jitter_is_as_far_as_is_said"),
    "health_check.healthy_threshold": Key(
        5, "tests/process/control/test_health_registry.py::test_panic_is_told_when_it_begins_and_when_it_ends"
    ),
    "health_check.unhealthy_threshold": Key(
        5, "tests/process/control/test_health_registry.py::test_who_stays_keeps_its_standing_and_the_run_that_speaks_against_it"
    ),
    "health_check.path": Key(
        "/up", "tests/probes/test_probes_http.py::test_the_request_carries_the_path_the_host_and_the_users_own_fields"
    ),
    "health_check.method": Key(
        "HEAD", "tests/probes/test_probes_http.py::test_the_request_carries_the_path_the_host_and_the_users_own_fields"
    ),
    "health_check.expected_status": Key([200, 204], _JUDGED),
    "health_check.expected_body": Key("fine", _JUDGED),
    "health_check.host": Key(
        "app.example", "tests/probes/test_probes_http.py::test_the_request_carries_the_path_the_host_and_the_users_own_fields"
    ),
    "health_check.port": Key(
        8081, "tests/probes/test_probes_tcp.py::test_the_checks_own_port_is_asked_instead_of_the_backends"
    ),
    "health_check.headers": Key(
        {"X-Token": "t"},
        "tests/probes/test_probes_http.py::test_the_request_carries_the_path_the_host_and_the_users_own_fields",
    ),
    "health_check.service": Key("app.Store", "tests/probes/test_grpc.py::test_the_service_that_is_configured_is_asked_about"),
    "health_check.command": Key(
        ["true"], "tests/probes/test_command.py::test_the_exit_status_is_the_verdict_and_the_first_line_its_reason"
    ),
    "health_check.slow_start": Key(
        "30s",
        "tests/runtime/test_pool_health.py::test_who_comes_back_gets_a_tenth_of_its_share_at_first_under_any_algorithm",
    ),
    "health_check.panic_threshold": Key(
        50,
        "tests/runtime/test_pool_health.py::test_in_panic_all_are_used_but_those_an_operator_took_out_and_open_breakers",
    ),
    "health_check.passive_checks.enabled": Key(
        False, "tests/runtime/test_pool_health.py::test_only_who_asks_for_it_pays_for_it"
    ),
    "health_check.passive_checks.count": Key([500], "tests/runtime/test_pool_health.py::test_what_counts_is_configured"),
    "health_check.passive_checks.consecutive_failures": Key(
        2,
        "tests/process/control/test_outlier_detector.py::test_failures_in_a_row_over_all_workers_eject_and_a_good_request_brings_back",
    ),
    "health_check.passive_checks.error_rate_threshold": Key(
        0.9, "tests/health/test_outlier_detection.py::test_what_makes_an_outlier_is_as_configured"
    ),
    "health_check.passive_checks.min_requests": Key(
        50, "tests/health/test_outlier_detection.py::test_what_makes_an_outlier_is_as_configured"
    ),
    "health_check.passive_checks.window": Key(
        "5s", "tests/process/control/test_outlier_detector.py::test_a_share_of_failures_ejects_where_enough_was_sent"
    ),
    "health_check.passive_checks.ejection_time": Key(
        "5s",
        "tests/process/control/test_outlier_detector.py::test_failures_in_a_row_over_all_workers_eject_and_a_good_request_brings_back",
    ),
    "health_check.passive_checks.max_ejection_percent": Key(
        20, "tests/health/test_outlier_detection.py::test_the_percentage_is_rounded_down"
    ),
    "circuit_breaker.enabled": Key(
        True, "tests/runtime/test_pool_health.py::test_an_open_breaker_is_passed_over_while_others_live"
    ),
    "circuit_breaker.failure_threshold": Key(
        2, "tests/health/test_circuit_breaker.py::test_it_opens_after_as_many_failures_as_are_said"
    ),
    "circuit_breaker.success_threshold": Key(
        4, "tests/health/test_circuit_breaker.py::test_it_closes_after_as_many_good_trials_as_are_said"
    ),
    "circuit_breaker.timeout": Key("7s", "tests/health/test_circuit_breaker.py::test_open_ends_by_time_alone"),
    "circuit_breaker.half_open_requests": Key(
        3,
        "tests/runtime/test_health_gate.py::test_another_configuration_of_the_breaker_holds_at_once_and_what_was_counted_stands",
    ),
    "queue.size": Key(3, "tests/proxy/net/test_queue_timer.py::test_without_a_queue_nobody_waits"),
    "queue.timeout": Key("1s", "tests/proxy/net/test_queue_timer.py::test_whose_time_is_over_is_answered_503"),
    "session_affinity.enabled": Key(
        True, "tests/proxy/http/test_session_cookie.py::test_a_new_client_gets_a_cookie_once_and_then_its_backend"
    ),
    "session_affinity.mode": Key(
        "source-ip", "tests/proxy/http/test_session_cookie.py::test_a_field_leads_to_one_backend_over_any_connection"
    ),
    "session_affinity.cookie.name": Key("s", _COOKIE),
    "session_affinity.cookie.ttl": Key("1m", _COOKIE),
    "session_affinity.cookie.path": Key("/app", _COOKIE),
    "session_affinity.cookie.http_only": Key(False, _COOKIE),
    "session_affinity.cookie.secure": Key(True, "tests/http1/test_set_cookie.py::test_line_is_what_the_configuration_says"),
    "session_affinity.cookie.same_site": Key("strict", _COOKIE),
    "session_affinity.header": Key(
        "X-Session", "tests/proxy/http/test_session_cookie.py::test_a_field_leads_to_one_backend_over_any_connection"
    ),
    "session_affinity.ttl": Key(
        "5s", "tests/runtime/sessions/test_affinity.py::test_a_session_that_was_not_used_for_its_time_is_a_new_one"
    ),
    "session_affinity.secret": Key(
        "s3cret",
        "tests/process/test_sticky_across_workers.py::test_a_shared_secret_keeps_cookies_across_restarts",
    ),
    "redis.url": Key(
        "redis://redis.example:6380/1",
        "tests/shared_store/test_redis_sessions.py::test_what_is_kept_is_found_by_every_store_and_ends_by_itself",
    ),
    "redis.prefix": Key("mine:", "tests/shared_store/test_redis_sessions.py::test_names_begin_with_the_prefix"),
    "redis.timeout": Key(
        "80ms",
        "tests/shared_store/test_redis_sessions.py::test_nobody_waits_for_a_frozen_store_and_it_is_back_by_itself",
    ),
    "redis.on_failure": Key(
        "deny",
        "tests/shared_store/test_redis_sessions.py::test_a_store_that_is_away_refuses_at_once_and_learns_later_what_it_missed",
    ),
    "retry.enabled": Key(False, _REPEATS + "test_unasked_nothing_but_a_failed_connection_is_tried_again"),
    "retry.max_attempts": Key(5, _REPEATS + "test_tries_are_as_many_as_is_said"),
    "retry.backoff_base": Key("1s", "tests/retry/test_backoff.py::test_base_bound_and_growth_are_as_configured"),
    "retry.backoff_max": Key("9s", "tests/retry/test_backoff.py::test_base_bound_and_growth_are_as_configured"),
    "retry.multiplier": Key(5, "tests/retry/test_backoff.py::test_base_bound_and_growth_are_as_configured"),
    "retry.jitter": Key(0.5, "tests/retry/test_backoff.py::test_wait_doubles_up_to_its_bound_and_strays_as_told"),
    "retry.on": Key([503], "tests/retry/test_decision.py::test_only_what_is_asked_for_is_tried_again"),
    "retry.per_try_timeout": Key("1s", _REPEATS + "test_silent_backend_is_left_after_the_time_for_a_try"),
    "retry.budget.ratio": Key(0.5, _REPEATS + "test_requests_pay_for_retries"),
    "retry.budget.min_per_second": Key(3, _REPEATS + "test_without_a_budget_the_reply_is_passed_on"),
    "timeouts.connect": Key("1s", _EXCHANGE + "test_hanging_connection_goes_to_the_next_backend_after_the_connect_timeout"),
    "timeouts.read": Key("1s", _EXCHANGE + "test_backend_that_says_nothing_is_504"),
    "timeouts.write": Key("1s", _CLIENT + "test_client_that_does_not_read_is_cut_after_write"),
    "timeouts.request": Key("1s", _EXCHANGE + "test_whole_request_has_a_limit_where_one_is_set"),
    "timeouts.idle": Key("1s", "tests/proxy/tcp/test_session.py::test_silent_session_is_cut_at_the_idle_timeout"),
    "timeouts.half_closed": Key(
        "1s", "tests/proxy/tcp/test_session.py::test_half_closed_session_that_says_nothing_is_cut_where_that_has_a_time"
    ),
    "timeouts.tunnel": Key("1s", "tests/proxy/tunnel/test_tunnel.py::test_silent_tunnel_is_cut_at_its_own_timeout"),
    "timeouts.client_header": Key("1s", _CLIENT + "test_slow_head_is_answered_408"),
    "timeouts.client_body": Key("1s", _CLIENT + "test_body_that_does_not_come_is_answered_408"),
    "timeouts.keepalive": Key("1s", _CLIENT + "test_idle_connection_is_closed_after_keepalive"),
    "timeouts.drain": Key("1s", "tests/process/supervisor/test_supervisor.py::test_what_does_not_end_in_time_is_cut_and_told"),
    "http.http2.max_connection_age": Key("5m", _HTTP2 + "test_an_old_connection_takes_no_new_streams_and_loses_none"),
    "http.http2.max_connection_age_grace": Key("5s", _HTTP2 + "test_streams_of_an_old_connection_are_cut_after_the_grace"),
    "http.h2c": Key(True, "tests/proxy/http2/test_protocol_choice.py::test_first_bytes_choose_without_tls"),
    "http.http2.max_concurrent_streams": Key(2, _HTTP2 + "test_so_many_streams_as_are_configured"),
    "http.http2.flood_limit": Key(100, _HTTP2 + "test_so_many_offences_as_are_configured"),
    "http.websocket": Key(False, "tests/proxy/tunnel/test_tunnel.py::test_upgrade_is_not_offered_where_websocket_is_off"),
    "http.keepalive.max_idle_per_backend": Key(1, _UPSTREAM + "test_only_so_many_are_kept"),
    "http.keepalive.idle_timeout": Key("1s", _UPSTREAM + "test_connection_is_not_kept_beyond_its_limit"),
    "http.keepalive.max_requests": Key(2, _UPSTREAM + "test_connection_serves_only_so_many_requests"),
    "http.underscore_headers": Key("pass", "tests/proxy/test_settings.py::test_a_name_with_an_underscore_arrives_where_it_may"),
    "http.strictness": Key(
        "tolerant",
        "tests/proxy/test_settings.py::test_a_reply_that_breaks_a_rule_and_has_one_reading_goes_on_where_it_may",
        frozenset(["HealthCheck.strictness"]),
    ),
    "http.limits.head": Key("9KB", _LIMITS),
    "http.limits.line": Key("1KB", _LIMITS),
    "http.limits.fields": Key(5, _LIMITS),
    "http.limits.body": Key("1KB", _CLIENT + "test_body_beyond_the_limit_is_refused_before_a_backend_hears_of_it"),
    "http.forwarded": Key("both", "tests/proxy/test_acceptor.py::test_what_a_backend_is_told_of_a_client_follows_the_listener"),
    "http.request_id": Key(False, "tests/proxy/test_settings.py::test_a_request_has_an_id_where_that_is_asked_for"),
    "http.reply_headers.request_id": Key(False, "tests/proxy/test_settings.py::test_a_reply_says_its_requests_id"),
    "http.reply_headers.backend": Key(
        True, "tests/proxy/test_settings.py::test_a_reply_names_its_backend_where_that_is_asked_for"
    ),
    "http.grpc_web": Key(True, "tests/proxy/http/grpc/test_call.py::test_a_call_of_the_web_is_one_of_grpc_to_the_backend"),
    "http.via": Key(True, "tests/proxy/test_settings.py::test_a_request_names_this_proxy_where_that_is_asked_for"),
    "http.error_pages": Key({"503": PAGE}, "tests/proxy/http/test_error_replies.py::test_error_has_the_users_page"),
    "http.compression.enabled": Key(True, _COMPRESSED + "test_a_reply_that_is_complete_has_its_length"),
    "http.compression.algorithms": Key(["gzip"], _COMPRESSION + "test_every_key_counts"),
    "http.compression.types": Key(["text/css"], _COMPRESSION + "test_every_key_counts"),
    "http.compression.min_size": Key("5KB", _COMPRESSION + "test_every_key_counts"),
    "http.compression.level": Key(9, _COMPRESSION + "test_the_level_counts"),
    "proxy_protocol.accept": Key(True, _HEADER + "test_the_address_that_it_tells_is_the_clients"),
    "proxy_protocol.trusted": Key(["192.168.0.0/16"], _HEADER + "test_the_address_that_it_tells_is_the_clients"),
    "proxy_protocol.timeout": Key("3s", _HEADER + "test_without_a_good_header_in_time_the_connection_is_closed_and_counted"),
    "proxy_protocol.send": Key(
        "v2",
        _HEADER + "test_a_backend_is_told_whose_the_connection_is",
        frozenset(["HealthCheck.send_proxy"]),
    ),
    "security.ip_allowlist": Key(["192.0.2.0/24"], _ACCESS + "test_who_may_not_connect_is_reset_before_a_byte_is_read"),
    "security.ip_allowlist_files": Key([ADDRESSES], _ACCESS + "test_who_may_not_connect_is_reset_before_a_byte_is_read"),
    "security.ip_blocklist.blocked_ips": Key(
        ["192.0.2.1"], _ACCESS + "test_who_may_not_connect_is_reset_before_a_byte_is_read"
    ),
    "security.ip_blocklist.blocked_cidrs": Key(
        ["192.0.2.0/24"], _ACCESS + "test_who_may_not_connect_is_reset_before_a_byte_is_read"
    ),
    "security.ip_blocklist.files": Key([ADDRESSES], _ACCESS + "test_who_may_not_connect_is_reset_before_a_byte_is_read"),
    "rate_limit.enabled": Key(True, _LIMIT + "test_there_is_none_unless_enabled"),
    "rate_limit.type": Key("sliding-window", _LIMIT + "test_a_window_has_no_more_than_it_says"),
    "rate_limit.key": Key(["path", "jwt:sub"], _LIMIT + "test_it_counts_together_what_has_the_same_key"),
    "rate_limit.requests_per_second": Key(7, _LIMIT + "test_a_bucket_has_its_burst_and_its_rate"),
    "rate_limit.burst": Key(7, _LIMIT + "test_a_bucket_has_its_burst_and_its_rate"),
    "rate_limit.window": Key("7s", _LIMIT + "test_a_window_has_no_more_than_it_says"),
    "rate_limit.max_requests": Key(7, _LIMIT + "test_a_window_has_no_more_than_it_says"),
    "rate_limit.report_only": Key(True, _LIMIT + "test_a_report_refuses_nobody_and_counts"),
    "rate_limit.scope": Key("redis", _LIMIT + "test_what_machines_share_is_told_to_others_and_nothing_else"),
    "rate_limit.headers": Key(False, _LIMIT + "test_nothing_is_told_where_that_is_off_but_when_to_come_again"),
    "rate_limit.allowlist": Key(["10.0.0.0/8"], _LIMIT + "test_who_is_on_the_allow_list_has_no_limit"),
    "security.connection_protection.enabled": Key(True, _GUARD + "test_who_has_too_many_connections_is_reset"),
    "security.connection_protection.max_connections_per_ip": Key(7, _GUARD + "test_who_has_too_many_connections_is_reset"),
    "security.connection_protection.max_connection_rate": Key(7, _GUARD + "test_who_opens_too_many_a_second_is_reset"),
    "security.connection_protection.min_body_rate": Key(
        240, "tests/proxy/buffering/test_body_rate.py::test_a_body_that_comes_too_slowly_is_answered_408"
    ),
    "security.connection_protection.min_body_rate_grace": Key(
        "1s", "tests/proxy/buffering/test_body_rate.py::test_a_body_that_comes_too_slowly_is_answered_408"
    ),
    "security.connection_protection.read_timeout": Key("2s", _GUARD + "test_a_slow_head_and_a_slow_body_have_the_guards_time"),
    "security.headers.enabled": Key(True, _HEADERS + "test_fields"),
    "security.headers.hsts_max_age": Key("1h", _HEADERS + "test_fields"),
    "security.headers.hsts_subdomains": Key(True, _HEADERS + "test_fields"),
    "security.headers.hsts_preload": Key(True, _HEADERS + "test_fields"),
    "security.headers.nosniff": Key(False, _HEADERS + "test_fields"),
    "security.headers.frame_options": Key("deny", _HEADERS + "test_fields"),
    "security.headers.referrer_policy": Key("no-referrer", _HEADERS + "test_fields"),
    "security.headers.content_security_policy": Key("default-src 'self'", _HEADERS + "test_fields"),
    "security.headers.permissions_policy": Key("camera=()", _HEADERS + "test_fields"),
    "security.headers.cross_origin_opener_policy": Key("same-origin", _HEADERS + "test_fields"),
    "security.headers.cross_origin_resource_policy": Key("same-site", _HEADERS + "test_fields"),
    "security.headers.cross_origin_embedder_policy": Key("require-corp", _HEADERS + "test_fields"),
    "security.headers.replace": Key(False, _HEADERS + "test_a_backends_own_field_is_replaced_or_stays"),
    "security.headers.remove": Key(["Server"], _HEADERS + "test_a_backends_own_field_is_replaced_or_stays"),
    "security.basic_auth.enabled": Key(True, _BASIC + "test_a_route_without_it_has_no_stage"),
    "security.basic_auth.users": Key({"u": SCRYPT}, _BASIC + "test_who_gets_in"),
    "security.basic_auth.htpasswd_file": Key(
        HTPASSWD, _BASIC_EXAMPLE + "test_the_basic_auth_example", frozenset(["BasicAuth.htpasswd_file"])
    ),
    "security.basic_auth.realm": Key("ops", _BASIC + "test_the_challenge_names_the_realm"),
    "security.basic_auth.user_header": Key("X-User", _BASIC + "test_the_name_goes_to_a_field_that_nobody_can_forge"),
    "security.basic_auth.forward": Key(False, _BASIC + "test_the_password_goes_on_or_not"),
    "security.basic_auth.remember": Key("1m", _BASIC + "test_what_was_right_is_remembered_for_a_while"),
    "security.jwt.enabled": Key(True, _JWT + "test_a_route_without_it_has_no_stage"),
    "security.jwt.algorithms": Key(["HS512"], _TOKEN + "test_every_algorithm_by_two_libraries"),
    "security.jwt.secret": Key("s" * 64, _TOKEN + "test_every_algorithm_by_two_libraries"),
    "security.jwt.pem_files": Key([PEM], _JWT + "test_keys_of_pem_files_and_of_a_set"),
    "security.jwt.jwks_file": Key(JWKS, _JWT + "test_keys_of_pem_files_and_of_a_set"),
    "security.jwt.jwks_url": Key("https://a/", _KEY_SET),
    "security.jwt.jwks_ca_file": Key(CERTIFICATE["cert_file"], _KEY_SET),
    "security.jwt.jwks_refresh": Key("1m", _KEY_SET),
    "security.jwt.jwks_cooldown": Key("1m", _KEY_SET),
    "security.jwt.jwks_timeout": Key("1s", _KEY_SET),
    "security.jwt.issuer": Key(["i"], _TOKEN + "test_claims"),
    "security.jwt.audience": Key(["a"], _TOKEN + "test_claims"),
    "security.jwt.leeway": Key("5s", _TOKEN + "test_claims"),
    "security.jwt.required_claims": Key(["sub"], _TOKEN + "test_claims"),
    "security.jwt.claims": Key({"role": ["admin"]}, _TOKEN + "test_claims"),
    "security.jwt.claims_to_headers": Key({"sub": "X-User"}, _JWT + "test_claims_go_to_fields_that_nobody_can_forge"),
    "security.jwt.source": Key("cookie:t", _JWT + "test_where_the_token_is"),
    "security.jwt.forward": Key(False, _JWT + "test_the_token_goes_on_or_not"),
    "security.jwt.realm": Key("r", _JWT + "test_what_is_refused_says_how"),
    "security.jwt.max_size": Key("4KB", _TOKEN + "test_attacks"),
    "security.forward_auth.enabled": Key(True, _FORWARD_AUTH + "test_what_it_is_asked"),
    "security.forward_auth.pool": Key("q", _FORWARD_AUTH + "test_what_it_is_asked"),
    "security.forward_auth.path": Key("/verify", _FORWARD_AUTH + "test_what_it_is_asked"),
    "security.forward_auth.host": Key("preserve", _FORWARD_AUTH + "test_its_host"),
    "security.forward_auth.timeout": Key("1s", _FORWARD_AUTH + "test_what_it_is_asked"),
    "security.forward_auth.on_failure": Key("allow", _FORWARD_AUTH + "test_what_is_no_answer"),
    "security.forward_auth.request_headers": Key(["Cookie"], _FORWARD_AUTH + "test_it_gets_the_fields_that_are_listed"),
    "security.forward_auth.response_headers": Key(
        ["Remote-User"], _FORWARD_AUTH + "test_the_clients_own_are_removed_whatever_it_says"
    ),
    "security.forward_auth.client_headers": Key(["Set-Cookie"], _FORWARD_AUTH + "test_the_client_gets_what_is_listed"),
    "security.cors.enabled": Key(True, _CORS + "test_preflight"),
    "security.cors.allow_origins": Key(["https://a.example"], _CORS + "test_preflight"),
    "security.cors.allow_origin_regex": Key(
        ["https://a[.]example"], "tests/security/test_cors_origins.py::test_which_origins_may"
    ),
    "security.cors.allow_methods": Key(["PUT"], _CORS + "test_preflight"),
    "security.cors.allow_headers": Key(["X-A"], _CORS + "test_preflight"),
    "security.cors.expose_headers": Key(["X-B"], _CORS + "test_replies_to_requests"),
    "security.cors.allow_credentials": Key(True, _CORS + "test_preflight"),
    "security.cors.max_age": Key("1h", _CORS + "test_preflight"),
    "security.trusted_proxies": Key(["10.0.0.0/8"], _CLIENT + "test_trusted_proxy_is_believed"),
    "security.client_address": Key("rfc7239", "tests/proxy/test_forwarded.py::test_the_family_that_is_not_believed_is_dropped"),
    "admin.enabled": Key(
        False, "tests/process/sockets/test_listen_sockets.py::test_only_what_is_listened_on_is_asked_for_and_once"
    ),
    "admin.listen": Key(
        "127.0.0.1:9099", "tests/process/sockets/test_listen_sockets.py::test_the_admin_port_opens_where_it_is_configured"
    ),
    "admin.auth.tokens[].name": Key("b", _GATE + "test_every_change_leaves_a_line_with_who_from_where_and_what_came_of_it"),
    "admin.auth.tokens[].token": Key("a-token-to-change-things-0123", _GATE + "test_every_token_reads_and_leaves_no_line"),
    "admin.auth.tokens[].token_file": Key(
        ADMIN_TOKEN, _GATE + "test_a_token_may_be_in_a_file", frozenset(["AdminToken.token_file"])
    ),
    "admin.auth.read_only_tokens[].name": Key("b", _GATE + "test_a_token_for_reading_changes_nothing"),
    "admin.auth.read_only_tokens[].token": Key(
        "a-token-to-read-alone-4567", _GATE + "test_every_token_reads_and_leaves_no_line"
    ),
    "admin.auth.read_only_tokens[].token_file": Key(
        ADMIN_TOKEN, _GATE + "test_a_token_may_be_in_a_file", frozenset(["AdminToken.token_file"])
    ),
    "admin.tls.enabled": Key(False, _ADMIN_TLS + "test_a_request_over_tls_is_answered"),
    "admin.tls.cert_file": Key(_SAME_CERTIFICATE, _ADMIN_TLS + "test_a_request_over_tls_is_answered"),
    "admin.tls.key_file": Key(_SAME_KEY, _ADMIN_TLS + "test_a_request_over_tls_is_answered"),
    "admin.tls.key_password_env": Key("TLS_PASSWORD", _ADMIN_TLS + "test_the_password_of_the_key_comes_from_the_environment"),
    "admin.tls.min_version": Key("1.3", _ADMIN_TLS + "test_versions_below_the_oldest_are_refused_with_the_alert"),
    "admin.tls.client_auth": Key("require-and-verify", _ADMIN_TLS + "test_client_certificates"),
    "admin.tls.client_ca_file": Key(_SAME_CA, _ADMIN_TLS + "test_client_certificates"),
    "admin.tls.client_crl_file": Key(_CRL_FILE, _ADMIN_TLS + "test_a_revoked_client_is_refused"),
    "admin.dashboard": Key(False, _DASHBOARD + "test_a_page_that_is_turned_off_is_not_there"),
    "metrics.enabled": Key(False, "tests/admin/test_application.py::test_metrics_that_are_switched_off_are_not_there"),
    "metrics.listen": Key(
        "127.0.0.1:9099", "tests/process/operations/test_startup_log.py::test_metrics_are_announced_where_they_are"
    ),
    "metrics.path": Key(
        "/scrape",
        "tests/admin/test_application.py::test_the_metrics_own_listener_shows_metrics_and_answers_probes_and_nothing_else",
    ),
    "metrics.buckets": Key([0.002, 2], _SCRAPE + "test_buckets_are_those_of_the_file"),
    "metrics.backend_histograms": Key("pool", _SCRAPE + "test_histograms_are_per_backend_per_pool_or_one_for_all"),
    "metrics.aliases": Key(["go_balancer"], _SCRAPE + "test_aliases_have_the_values_of_their_sources"),
    "logging.level": Key(
        "debug", "tests/process/test_logs.py::test_format_level_and_place_are_as_configured_now_and_the_name_stays"
    ),
    "logging.format": Key(
        "json", "tests/process/test_logs.py::test_format_level_and_place_are_as_configured_now_and_the_name_stays"
    ),
    "logging.output": Key(
        "stdout", "tests/process/test_logs.py::test_format_level_and_place_are_as_configured_now_and_the_name_stays"
    ),
    "logging.access_log.enabled": Key(True, "tests/proxy/test_access_log.py::test_tcp_session_has_its_line"),
    "logging.access_log.format": Key("combined", "tests/proxy/test_access_log.py::test_combined_is_what_log_readers_know"),
    "logging.access_log.sample": Key(
        0.0, "tests/proxy/test_access_log.py::test_normal_requests_are_sampled_and_the_rest_is_logged"
    ),
    "logging.access_log.slow_threshold": Key("50ms", _LINES + "test_only_slow_requests_are_logged"),
    "logging.access_log.template": Key("{client}", _LINES + "test_lines_are_as_the_template_says"),
    "logging.access_log.output": Key("stderr", "tests/proxy/test_access_log.py::test_combined_is_what_log_readers_know"),
    "tracing.enabled": Key(True, _SPANS),
    "tracing.service_name": Key("edge", _SPANS),
    "tracing.endpoint": Key("http://collector.example:4318", _SPANS),
    "tracing.headers": Key(
        {"Authorization": "Bearer x"},
        "tests/proxy/tracing/test_tracer.py::test_the_receiver_gets_the_fields_that_let_us_in",
    ),
    "tracing.sample_rate": Key(0.0, _TRACED + "test_a_share_is_sampled_and_backends_are_told_in_any_case"),
    "tracing.propagate": Key("b3", _TRACED + "test_the_formats_are_those_that_are_named"),
    "tracing.trust": Key(["10.0.0.0/8"], _SPANS),
    "shutdown.delay": Key(
        "1s", "tests/process/supervisor/test_supervisor.py::test_sigterm_finishes_what_is_in_flight_and_refuses_what_is_new"
    ),
    "shutdown.restart_drain": Key(
        "2h",
        "tests/process/operations/test_rolling_restart.py::test_in_each_slot_the_new_worker_is_ready_before_the_old_one_drains",
    ),
    "backends[].region": Key(
        "eu", "tests/runtime/test_region_levels.py::test_a_region_is_served_by_its_own_and_by_those_of_every_region"
    ),
    "pools.NAME.buffering.request": Key(
        "64KB",
        "tests/proxy/buffering/test_nearest_buffering.py::test_a_pools_keys_win_over_a_listeners",
        frozenset(["PoolConfig.buffering"]),
    ),
    "pools.NAME.buffering.response": Key(
        "64KB",
        "tests/proxy/buffering/test_nearest_buffering.py::test_a_pools_keys_win_over_a_listeners",
        frozenset(["PoolConfig.buffering"]),
    ),
    "http.transform.request_headers[].action": Key("add", _TRANSFORMED + "test_users_own_forwarding_fields_stand_in_for_ours"),
    "http.transform.request_headers[].name": Key("X-B", _TRANSFORMED + "test_users_own_forwarding_fields_stand_in_for_ours"),
    "http.transform.request_headers[].value": Key(
        "{client_ip}", _TRANSFORMED + "test_users_own_forwarding_fields_stand_in_for_ours"
    ),
    "http.transform.response_headers[].action": Key("add", _TRANSFORMED + "test_cookies_stay_lines_and_follow_the_prefix"),
    "http.transform.response_headers[].name": Key("X-B", _TRANSFORMED + "test_cookies_stay_lines_and_follow_the_prefix"),
    "http.transform.response_headers[].value": Key("b", _TRANSFORMED + "test_cookies_stay_lines_and_follow_the_prefix"),
    "http.transform.strip_prefix": Key("/v1", _TRANSFORMED + "test_backend_gets_the_changed_path_and_the_prefix_once"),
    "http.transform.add_prefix": Key("/v1", _TRANSFORMED + "test_prefix_is_put_in_front"),
    "http.transform.rewrite[].regex": Key("b", _TRANSFORMED + "test_backend_gets_the_changed_path_and_the_prefix_once"),
    "http.transform.rewrite[].replacement": Key("c", _TRANSFORMED + "test_backend_gets_the_changed_path_and_the_prefix_once"),
    "http.transform.map_back": Key(True, _TRANSFORMED + "test_cookies_stay_lines_and_follow_the_prefix"),
    "http.buffering.request": Key("64KB", "tests/proxy/buffering/test_request_buffering.py::test_a_slow_body_holds_no_backend"),
    "http.buffering.response": Key(
        "64KB", "tests/proxy/buffering/test_reply_buffering.py::test_backend_is_free_while_a_slow_client_reads"
    ),
    "http.buffering.total": Key(
        "1MB",
        "tests/proxy/buffering/test_request_buffering.py::test_a_body_without_room_in_the_worker_streams_and_fails_nowhere",
    ),
    "http.host": Key("backend", _TRANSFORMED + "test_listener_without_routes_may_give_a_host"),
    "http.normalize": Key("forward", _ROUTER + "test_a_path_that_may_lead_elsewhere"),
    "http.routes[].name": Key("shop", _ROUTER + "test_the_route_of_a_request"),
    "http.routes[].host": Key("shop.example", _ROUTES + "test_hosts"),
    "http.routes[].path": Key("/a", _ROUTES + "test_paths", frozenset(["RouteMatch.path_operator"])),
    "http.routes[].path_prefix": Key("/a", _ROUTES + "test_paths", frozenset(["RouteMatch.path_operator"])),
    "http.routes[].path_regex": Key("^/a", _ROUTES + "test_paths", frozenset(["RouteMatch.path_operator"])),
    "http.routes[].methods": Key(["GET"], _ROUTES + "test_methods"),
    "http.routes[].headers": Key({"X-A": "1"}, _ROUTES + "test_conditions_go_by_the_first_value"),
    "http.routes[].query": Key({"a": "1"}, _ROUTES + "test_conditions_go_by_the_first_value"),
    "http.routes[].cookies": Key({"a": {"present": True}}, _ROUTES + "test_conditions_go_by_the_first_value"),
    "http.routes[].priority": Key(5, _ROUTES + "test_the_order_is_the_documented_one_whatever_the_files"),
    "http.routes[].pool": Key("q", _ROUTER + "test_the_route_of_a_request"),
    "http.routes[].split[].pool": Key(
        "p", "tests/stages/splitting/test_split.py::test_shares_are_those_of_the_weights_and_the_same_user_stays"
    ),
    "http.routes[].split[].weight": Key(
        3, "tests/stages/splitting/test_split.py::test_shares_are_those_of_the_weights_and_the_same_user_stays"
    ),
    "http.routes[].redirect.to": Key("/y", _TRANSFORMED + "test_redirect_leads_to"),
    "http.routes[].redirect.status": Key(301, _TRANSFORMED + "test_redirect_leads_to"),
    "http.routes[].redirect.scheme": Key("https", _TRANSFORMED + "test_redirect_leads_to"),
    "http.routes[].redirect.host": Key("b.example", _TRANSFORMED + "test_redirect_leads_to"),
    "http.routes[].redirect.path": Key("/y", _TRANSFORMED + "test_redirect_leads_to"),
    "http.routes[].redirect.keep_query": Key(False, _TRANSFORMED + "test_redirect_leads_to"),
    "http.routes[].respond.status": Key(410, _TRANSFORMED + "test_fixed_response_is_the_same_for_head_without_its_body"),
    "http.routes[].respond.body": Key("gone", _TRANSFORMED + "test_fixed_response_is_the_same_for_head_without_its_body"),
    "http.routes[].respond.headers": Key(
        {"X-A": "1"}, _TRANSFORMED + "test_fixed_response_is_the_same_for_head_without_its_body"
    ),
    "http.routes[].policy.canary.pool": Key(
        "s", "tests/stages/splitting/test_canary.py::test_who_asks_for_it_goes_there_whatever_the_percent"
    ),
    "http.routes[].policy.canary.percent": Key(
        10, "tests/stages/splitting/test_canary.py::test_a_ramp_moves_nobody_back_and_a_user_stays"
    ),
    "http.routes[].policy.canary.header": Key(
        "X-Beta", "tests/stages/splitting/test_canary.py::test_who_asks_for_it_goes_there_whatever_the_percent"
    ),
    "http.routes[].policy.canary.cookie": Key(
        "beta", "tests/stages/splitting/test_canary.py::test_who_asks_for_it_goes_there_whatever_the_percent"
    ),
    "http.routes[].policy.canary.sticky": Key(
        False, "tests/stages/splitting/test_canary.py::test_without_a_key_and_a_cookie_each_request_is_drawn"
    ),
    "http.routes[].policy.canary.key": Key(
        "cookie:user",
        "tests/stages/splitting/test_canary.py::test_the_same_key_is_on_the_same_side_wherever_the_request_comes_from",
    ),
    "http.routes[].policy.canary.salt": Key("x", "tests/stages/splitting/test_canary.py::test_another_salt_takes_other_users"),
    "http.routes[].policy.blue_green.blue": Key(
        "s", "tests/stages/splitting/test_blue_green.py::test_the_active_side_or_the_one_that_is_picked"
    ),
    "http.routes[].policy.blue_green.green": Key(
        "s", "tests/stages/splitting/test_blue_green.py::test_the_active_side_or_the_one_that_is_picked"
    ),
    "http.routes[].policy.blue_green.active": Key(
        "green", "tests/stages/splitting/test_blue_green.py::test_the_active_side_or_the_one_that_is_picked"
    ),
    "http.routes[].policy.blue_green.header": Key(
        "X-Side", "tests/stages/splitting/test_blue_green.py::test_the_active_side_or_the_one_that_is_picked"
    ),
    "http.routes[].policy.mirror.pool": Key("s", "tests/stages/test_mirror.py::test_methods_that_change_nothing_are_copied"),
    "http.routes[].policy.mirror.percent": Key(5, "tests/stages/test_mirror.py::test_as_many_as_is_said"),
    "http.routes[].policy.mirror.unsafe_methods": Key(
        True, "tests/stages/test_mirror.py::test_all_other_methods_are_copied_where_that_is_asked_for"
    ),
    "http.routes[].policy.fault.abort_percent": Key(5, "tests/stages/test_fault.py::test_as_many_requests_as_is_said"),
    "http.routes[].policy.fault.abort_status": Key(
        500, "tests/stages/test_fault.py::test_the_reply_is_the_configured_status_and_says_that_it_is_injected"
    ),
    "http.routes[].policy.fault.delay_percent": Key(5, "tests/stages/test_fault.py::test_as_many_requests_as_is_said"),
    "http.routes[].policy.fault.delay": Key("1s", "tests/stages/test_fault.py::test_as_many_requests_as_is_said"),
    "http.routes[].policy.fault.header": Key(
        "X-Fault", "tests/stages/test_fault.py::test_a_field_causes_faults_for_trusted_proxies_only"
    ),
    "http.routes[].policy.fault.until": Key("20m", "tests/stages/test_fault.py::test_it_ends_by_itself"),
    "http.routes[].policy.regions.header": Key(
        "X-Region", "tests/stages/test_region.py::test_a_field_is_believed_from_trusted_proxies_only"
    ),
    "http.routes[].policy.regions.cidrs": Key(
        {"eu": ["10.0.0.0/8"]},
        "tests/routing/test_regions.py::test_the_longest_network_wins_and_an_address_inside_ipv6_counts_as_what_it_is",
    ),
    "http.routes[].policy.regions.geoip_db": Key(
        COUNTRIES,
        "tests/stages/test_region.py::test_a_route_without_regions_pays_nothing_and_a_missing_database_is_said_at_once",
        frozenset(["Regions.geoip_stamp"]),
    ),
    "http.routes[].policy.regions.fallback": Key(
        {"eu": ["us"]},
        "tests/runtime/test_region_levels.py::test_what_a_region_cannot_take_spills_over_in_proportion_to_the_next_only",
    ),
    "tls.enabled": Key(False, _TLS + "test_a_request_over_tls_is_answered_and_says_https"),
    "tls.certificates[].cert_file": Key(_SAME_CERTIFICATE, _TLS_NAME),
    "tls.certificates[].key_file": Key(_SAME_KEY, _TLS_NAME),
    "tls.certificates[].key_password_env": Key("TLS_PASSWORD", _PASSWORD),
    "tls.certificates[].domains": Key(
        ["a.example"], "tests/tls/test_contexts.py::test_names_are_those_configured_else_the_certificates_own"
    ),
    "tls.certificates[].default": Key(True, "tests/tls/test_contexts.py::test_the_default_is_the_one_marked_else_the_first"),
    "tls.cert_file": Key(_SAME_CERTIFICATE, _TLS_NAME),
    "tls.key_file": Key(_SAME_KEY, _TLS_NAME),
    "tls.key_password_env": Key("TLS_PASSWORD", _PASSWORD),
    "tls.min_version": Key("1.3", _TLS + "test_who_is_refused_gets_the_alert_that_says_why"),
    "tls.max_version": Key("1.2", _TLS + "test_what_is_offered_is_what_is_configured"),
    "tls.cipher_suites": Key(["ECDHE-RSA-AES128-GCM-SHA256"], _TLS + "test_what_is_offered_is_what_is_configured"),
    "tls.alpn_protocols": Key([], _TLS + "test_what_is_offered_is_what_is_configured"),
    "tls.session_tickets": Key(False, _TLS + "test_a_session_is_resumed_and_is_not_where_tickets_are_off"),
    "tls.strict_sni": Key(True, "tests/proxy/tls/test_hello_step.py::test_who_is_refused_learns_why_where_tls_has_a_word"),
    "tls.client_auth": Key("verify", _CLIENTS + "test_without_one_a_client_enters_where_it_may"),
    "tls.client_ca_file": Key(_SAME_CA, _CLIENTS + "test_who_is_required_to_have_a_certificate_and_has_none_does_not_enter"),
    "tls.client_crl_file": Key(_CRL_FILE, _CLIENTS + "test_a_revocation_ends_connections_and_no_session_passes_it"),
    "tls.redirect_http": Key(8443, "tests/process/test_example_tls.py::test_the_tls_example"),
    "tls.sni.routes": Key({"a.example": "q"}, "tests/proxy/tls/test_sni_pass_through.py::test_a_name_leads_to_its_pool"),
    "tls.backend.enabled": Key(False, _BACKEND_VERIFIED),
    "tls.backend.verify": Key(False, _TO_BACKENDS + "test_unverified_anybody_will_do"),
    "tls.backend.ca_file": Key(_SAME_CERTIFICATE, _BACKEND_VERIFIED),
    "tls.backend.client_cert_file": Key(_SAME_CERTIFICATE, _CLIENT_SHOWN),
    "tls.backend.client_key_file": Key(_SAME_KEY, _CLIENT_SHOWN),
    "tls.backend.client_key_password_env": Key(
        "TLS_PASSWORD", "tests/tls/test_backend_context.py::test_the_password_of_our_key_comes_from_the_environment"
    ),
    "tls.backend.server_name": Key("app.internal", _BACKEND_VERIFIED),
    "tls.handshake_timeout": Key("3s", _TLS + "test_a_client_that_does_not_go_on_is_cut_at_the_deadline"),
    "http.routes[].policy.rules[].name": Key("no-admin", _RULES + "test_actions_in_the_order_of_priority_and_file"),
    "http.routes[].policy.rules[].when": Key(
        {"subject": "host", "equals": "a"},
        _RULES + "test_actions_in_the_order_of_priority_and_file",
        frozenset(["Condition.value"]),
    ),
    "http.routes[].policy.rules[].action": Key("allow", _RULES + "test_actions_in_the_order_of_priority_and_file"),
    "http.routes[].policy.rules[].priority": Key(5, _RULES + "test_actions_in_the_order_of_priority_and_file"),
    "http.routes[].policy.rules[].pool": Key("p", _RULES + "test_actions_in_the_order_of_priority_and_file"),
    "http.routes[].policy.rules[].status": Key(404, _RULES + "test_replies"),
    "http.routes[].policy.rules[].retry_after": Key("10m", _RULES + "test_replies"),
    "http.routes[].policy.rules[].redirect.to": Key("/y", _RULES + "test_replies"),
    "http.routes[].policy.rules[].redirect.status": Key(301, _RULES + "test_replies"),
    "http.routes[].policy.rules[].redirect.scheme": Key("https", _REDIRECT),
    "http.routes[].policy.rules[].redirect.host": Key("b.example", _REDIRECT),
    "http.routes[].policy.rules[].redirect.path": Key("/y", _REDIRECT),
    "http.routes[].policy.rules[].redirect.keep_query": Key(False, _REDIRECT),
}

# Keys whose row has no test yet. Empty it: name a test that fails when the key is ignored.
PENDING = frozenset(key for key, row in KEYS.items() if not row.test)
