"""/blocklist over the admin port."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from asgi_client import Answer, ask
from fake_instance import FakeInstance

from balance.access_lists import shared_blocks
from balance.access_lists.shared_blocks import BlockWriter, SharedBlocks
from balance.access_lists.timed_blocks import FOR_EVER, Network
from balance.admin.application import admin_app
from balance.admin.blocklist import text_of

TEXT = """\
security: {trusted_proxies: [10.9.0.0/16, unix], ip_blocklist: {blocked_ips: [192.0.2.200]}}
listeners:
- {name: web, listen: "127.0.0.1:8080"}
- {name: in, listen: ":81", security: {ip_allowlist: [10.0.0.0/8, 192.0.2.0/24]}}
pools: {v1: {backends: [{name: a, address: "127.0.0.1:9001"}]}}
"""


@pytest.fixture
def instance() -> FakeInstance:
    made = FakeInstance()
    made.source = made.source.with_text(TEXT)
    app = admin_app(made.view, is_local_only=True)
    assert ask(app, "/reload", "POST").status == 200
    return made


def say(instance: FakeInstance, body: Any) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(admin_app(instance.view, is_local_only=True), "/blocklist", "POST", data)


def shown(instance: FakeInstance) -> Any:
    return ask(admin_app(instance.view, is_local_only=True), "/blocklist").json


def blocked(instance: FakeInstance) -> dict[str, int]:
    return {text_of(network): until for network, until in SharedBlocks(instance.board.blocks).blocks}


def test_addresses_and_networks_are_blocked_shown_and_unblocked(
    instance: FakeInstance, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "balance.admin"):
        answer = say(instance, {"add": ["192.0.2.1", "198.51.100.0/24", "::ffff:192.0.2.9", "2001:db8::/48"]})
    assert (answer.status, answer.json["done"]) == (200, True)
    assert blocked(instance) == dict.fromkeys(["192.0.2.1", "198.51.100.0/24", "192.0.2.9", "2001:db8::/48"], FOR_EVER)
    assert caplog.records[-1].getMessage().endswith("block 192.0.2.1, 198.51.100.0/24, 192.0.2.9, 2001:db8::/48: done")
    assert say(instance, {"add": "192.0.2.1", "for": "10m"}).json["summary"] == "block 192.0.2.1 for 600s"
    entries = {each["address"]: each for each in shown(instance)["blocked"]}
    assert 590 < entries["192.0.2.1"]["ends_in_seconds"] <= 600
    assert entries["192.0.2.1"]["until"].startswith("20")
    assert entries["2001:db8::/48"] == {"address": "2001:db8::/48", "until": None, "ends_in_seconds": None}
    assert say(instance, {"remove": ["192.0.2.1", "198.51.100.0/24"], "add": "192.0.2.7"}).status == 200
    assert sorted(blocked(instance)) == ["192.0.2.7", "192.0.2.9", "2001:db8::/48"]


def test_the_lists_of_each_listener_are_shown(instance: FakeInstance) -> None:
    assert shown(instance)["listeners"] == [
        {"name": "web", "refused": 0, "allowed_ranges": 0, "blocked_ranges": 1, "files": []},
        {"name": "in", "refused": 0, "allowed_ranges": 2, "blocked_ranges": 1, "files": []},
    ]


def test_what_is_over_is_gone(instance: FakeInstance) -> None:
    BlockWriter(instance.board.blocks).block(Network(False, 5, 0), 1)
    assert shown(instance)["blocked"] == []
    assert say(instance, {"add": "192.0.2.1"}).status == 200
    assert list(blocked(instance)) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"x", 400, "is not JSON"),
        ({}, 400, "is no order"),
        ({"add": []}, 400, "is no order"),
        ({"add": 5}, 400, "is no order"),
        ({"add": "192.0.2.1", "until": 5}, 400, "is no order"),
        ({"add": "192.0.2.1/8"}, 400, "write 192.0.0.0/8"),
        ({"add": "192.0.2.1-192.0.2.5"}, 400, "is a range"),
        ({"add": "example.org"}, 400, "not an address"),
        ({"add": ["192.0.2.1", "x\n"]}, 400, "not an address"),
        ({"add": "192.0.2.1", "for": "soon"}, 400, "not a duration"),
        ({"add": "192.0.2.1", "for": 0}, 400, "no time at all"),
        ({"add": "192.0.2.1", "for": -1}, 400, "negative"),
        ({"remove": "192.0.2.1"}, 404, "192.0.2.1 is not blocked at run time, but by the access lists of listener"),
        ({"remove": "192.0.2.2"}, 404, "192.0.2.2 is not blocked"),
        ({"add": "192.0.2.1", "remove": "192.0.2.3"}, 404, "is not blocked"),
    ],
)
def test_a_wrong_order_changes_nothing(instance: FakeInstance, body: Any, status: int, error: str) -> None:
    if error.startswith("192.0.2.1 is not blocked at"):
        body, error = {"remove": "192.0.2.200"}, error.replace("192.0.2.1 ", "192.0.2.200 ")
    answer = say(instance, body)
    assert answer.status == status
    assert error in answer.json["error"]
    assert blocked(instance) == {}


def test_who_is_blocked_by_a_wider_network_is_told_so(instance: FakeInstance) -> None:
    say(instance, {"add": "192.0.2.0/24"})
    assert "but 192.0.2.0/24 is" in say(instance, {"remove": "192.0.2.9"}).json["error"]


def test_shutting_out_a_trusted_proxy_is_warned_of(instance: FakeInstance) -> None:
    assert say(instance, {"add": "10.0.0.0/8"}).json["warnings"] == [
        "10.0.0.0/8 has the trusted proxy 10.9.0.0/16: whoever comes through it is shut out, too"
    ]


def test_there_is_a_bound(instance: FakeInstance) -> None:
    many = [f"2001:db8::{number:x}" for number in range(shared_blocks.ENTRIES)]
    answer = say(instance, {"add": [*many, "192.0.2.1"]})
    assert (answer.status, blocked(instance)) == (409, {})
    assert say(instance, {"add": many}).status == 200
    assert say(instance, {"add": ["192.0.2.1"]}).status == 409


def test_a_port_that_others_reach_takes_no_orders(instance: FakeInstance) -> None:
    app = admin_app(instance.view, is_local_only=False)
    assert ask(app, "/blocklist", "POST", b'{"add": "192.0.2.1"}').status == 403
    assert ask(app, "/blocklist").status == 403
