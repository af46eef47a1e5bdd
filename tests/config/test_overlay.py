"""The access lists of each listener, from the keys at the top and its own."""

import ipaddress

import pytest

from balance.config import load_text
from balance.errors import ConfigError

TEXT = """
pools: {p: {backends: [{address: a:1}]}}
security: {ip_allowlist: [10.0.0.0/8, "2001:db8::/32"], ip_blocklist: {blocked_ips: 10.0.0.66, blocked_cidrs: [10.1.0.0/16]}}
listeners:
- {listen: ":1"}
- {listen: ":2", security: {ip_allowlist: 192.0.2.0/24, ip_blocklist: {blocked_ips: [192.0.2.1]}}}
- {listen: ":3", security: {ip_allowlist: []}}
- {listen: ":4", mode: tcp, security: {ip_blocklist: {blocked_cidrs: 10.2.0.0-10.2.0.9}}}
"""


@pytest.mark.parametrize(
    ("listener", "address", "is_admitted"),
    [
        (0, "10.0.0.1", True),
        (0, "2001:db8::1", True),
        (0, "11.0.0.1", False),
        (0, "10.0.0.66", False),
        (0, "10.1.2.3", False),
        (1, "10.0.0.1", False),  # its own allow list stands instead
        (1, "192.0.2.2", True),
        (1, "192.0.2.1", False),
        (2, "11.0.0.1", True),
        (2, "10.0.0.66", False),  # what is blocked at the top is so everywhere
        (3, "10.2.0.9", False),
        (3, "10.2.0.10", True),
        (3, "10.1.2.3", False),
    ],
)
def test_block_lists_add_up_and_the_nearest_allow_list_counts(listener: int, address: str, is_admitted: bool) -> None:
    lists = load_text(TEXT, "f.yaml", {}).config.listeners[listener].access_lists
    assert lists.admits(ipaddress.ip_address(address).packed) is is_admitted


def test_nothing_listed_is_no_list() -> None:
    text = "listen: ':1'\nbackends: [{address: a:1}]\nsecurity: {ip_blocklist: {blocked_ips: []}}"
    assert not load_text(text, "f.yaml", {}).config.listeners[0].access_lists


def test_a_wrong_entry_is_told_where_it_is() -> None:
    text = "listen: ':1'\nbackends: [{address: a:1}]\nsecurity:\n  blocklist:\n    blocked_cidrs: [10.0.0.0/8, 10.0.0.1/8]\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.yaml", {})
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yaml:5:33: security.ip_blocklist.blocked_cidrs[1]: '10.0.0.1/8' has bits set beyond its prefix; write 10.0.0.0/8"
    ]


def test_a_listener_has_no_trusted_proxies_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"trusted_proxies: unknown key here; it belongs to security\.trusted_proxies"):
        load_text(TEXT.replace("ip_allowlist: []", "trusted_proxies: []"), "f.yaml", {})
