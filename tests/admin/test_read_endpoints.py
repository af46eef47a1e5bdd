"""Pages that read: the configuration that is served and those before it, pools, metrics wherever they are now."""

from dataclasses import replace

from asgi_client import ask
from fake_instance import FakeInstance

from balance.admin.application import admin_app
from balance.admin.state_view import StateView
from balance.config.model import MetricsConfig


def test_the_configuration_is_shown_whole_and_without_secrets() -> None:
    fake_instance = FakeInstance()
    answer = ask(admin_app(fake_instance.view, is_local_only=True), "/config")
    assert answer.status == 200
    assert "hush" not in answer.text
    document = answer.json
    assert (document["generation"], document["origin"], document["current"]) == (1, "start", True)
    assert document["made_at"].startswith("1970-01-01T00:16:41")
    assert document["config"]["pools"][0]["backends"][1]["weight"] == 2
    assert document["config"]["pools"][1]["backends"][0]["metadata"] == [["api-key", "***"]]
    assert document["config"]["listeners"][0]["timeouts"]["read"] == "1m"


def test_a_configuration_before_is_shown_by_its_number() -> None:
    fake_instance = FakeInstance()
    app = admin_app(fake_instance.view, is_local_only=True)
    ask(app, "/backends/a2", "PATCH", b'{"weight": 9}')
    now, before = ask(app, "/config").json, ask(app, "/config?generation=1").json
    assert [each["config"]["pools"][0]["backends"][1]["weight"] for each in (now, before)] == [9, 2]
    assert [(each["generation"], each["current"]) for each in now["generations"]] == [(1, False), (2, True)]
    for unknown in ("7", "x", ""):
        missing = ask(app, f"/config?generation={unknown}")
        assert missing.status == 404
        assert "there are 1, 2" in missing.json["error"]


def test_a_configuration_is_shown_where_the_supervisor_has_not_spoken(view: StateView) -> None:
    document = ask(admin_app(view, is_local_only=True), "/config").json
    assert document["config"]["pools"][0]["name"] == "app"
    assert len(document["generations"]) == 1


def test_pools_are_shown_with_their_backends(view: StateView) -> None:
    pools = ask(admin_app(view, is_local_only=True), "/pools").json["pools"]
    assert [(pool["name"], len(pool["backends"])) for pool in pools] == [("app", 2), ("raw", 1)]


def test_a_page_shows_what_holds_now_and_not_what_held_when_it_was_made() -> None:
    fake_instance = FakeInstance()
    app = admin_app(fake_instance.view, is_local_only=True)
    ask(app, "/backends/a1", "DELETE")
    assert [each["name"] for each in ask(app, "/backends").json["backends"]] == ["a2", "r1"]
    assert 'backend="a1"' not in ask(app, "/metrics").text
    assert "balance_config_generation 2.0" in ask(app, "/metrics").text
    fake_instance.view.config = replace(fake_instance.view.config, metrics=MetricsConfig(path="/figures"))
    assert ask(app, "/figures").status == 200
    assert ask(app, "/figures", "POST").status == 405
    fake_instance.view.config = replace(fake_instance.view.config, metrics=MetricsConfig(enabled=False))
    assert [ask(app, path).status for path in ("/figures", "/metrics")] == [404, 404]


def test_what_names_addresses_is_shown_on_this_machine_only(public_view: StateView) -> None:
    app = admin_app(public_view, is_local_only=False)
    assert [ask(app, path).status for path in ("/config", "/pools", "/events", "/status")] == [403] * 4
