"""What a route's `security` is, from the top, its listener and itself."""

from __future__ import annotations

from balance.config import load_text

TEXT = """
listeners:
  - name: web
    listen: ":1"
    security: {cors: {enabled: true, max_age: 2m}, headers: {frame_options: deny}}
    http:
      routes:
        - {name: a, path: /a, security: {headers: {enabled: false}, cors: {allow_origins: "https://A.example:443"}}}
        - {name: b}
pools: {p: {backends: [{address: "a:1"}]}}
security: {headers: {enabled: true, hsts_max_age: 1h, remove: Server}}
"""


def test_the_nearest_wins_key_by_key() -> None:
    (listener,) = load_text(TEXT, "f.yaml", {}).config.listeners
    a, b = (route.security for route in listener.http.routes)
    assert b == listener.security
    assert (a.headers.enabled, b.headers.enabled) == (False, True)
    assert {each.headers.frame_options for each in (a, b)} == {"deny"}
    assert b.headers.hsts_max_age_s == 3600
    assert b.headers.remove == ("Server",)
    assert (a.cors.allow_origins, b.cors.allow_origins) == (("https://a.example",), ())
    assert {each.cors.max_age_s for each in (a, b)} == {120.0}


def test_a_listener_without_any_has_no_stage_to_pay_for() -> None:
    (listener,) = load_text("listen: ':1'\nbackends: [{address: 'a:1'}]\n", "f.yaml", {}).config.listeners
    assert not (listener.security.headers.enabled or listener.security.cors.enabled)
