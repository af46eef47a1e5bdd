"""resolv.conf, and which names a short one stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.dns.search_list import ResolvConf, names_to_ask, parse_resolv_conf

POD = """\
search default.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""

FILES: dict[str, tuple[str, ResolvConf]] = {
    "a pod's": (POD, ResolvConf(("10.96.0.10:53",), ("default.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5)),
    "none": ("", ResolvConf(("127.0.0.1:53",), (), 1)),
    "comments, tabs, CRLF, twice the same": (
        "# one\r\n;two\r\nnameserver\t192.0.2.1 # three\r\nnameserver 192.0.2.1\r\nnameserver 192.0.2.2\r\n",
        ResolvConf(("192.0.2.1:53", "192.0.2.2:53")),
    ),
    "IPv6, and one of an interface": (
        "nameserver 2001:db8::53\nnameserver fe80::1%eth0\n",
        ResolvConf(("[2001:db8::53]:53", "[fe80::1]:53%eth0")),
    ),
    "the last of search and domain counts": (
        "nameserver ::1\nsearch a.test b.test.\ndomain c.test\n",
        ResolvConf(("[::1]:53",), ("c.test",)),
    ),
    "options": ("options edns0 timeout:1 ndots:3 rotate trust-ad\n", ResolvConf(ndots=3)),
    "ndots beyond all measure": ("options ndots:99999999999\n", ResolvConf(ndots=15)),
    "ndots that is no number": ("options ndots:-1 ndots: ndots:x\n", ResolvConf()),
    "rubbish": ("nameserver\nnameserver localhost\nsearch\noptions\n\x00\xff\nnonsense 1 2\n", ResolvConf()),
    "the root as a search domain": ("search . a.test\n", ResolvConf(search=("a.test",))),
}


@pytest.mark.parametrize("case", FILES)
def test_resolv_conf_is_read_as_resolvers_read_it(case: str) -> None:
    text, expected = FILES[case]
    assert parse_resolv_conf(text) == expected


@given(st.text())
def test_no_resolv_conf_is_an_error(text: str) -> None:
    conf = parse_resolv_conf(text)
    assert conf.servers and 0 <= conf.ndots <= 15


NAMES: dict[str, tuple[str, list[str]]] = {
    "short": ("api", ["api.default.svc.cluster.local", "api.svc.cluster.local", "api.cluster.local", "api"]),
    "a final dot ends the search": ("api.", ["api"]),
    "four dots are fewer than five": (
        "api.prod.svc.cluster.local",
        [
            "api.prod.svc.cluster.local.default.svc.cluster.local",
            "api.prod.svc.cluster.local.svc.cluster.local",
            "api.prod.svc.cluster.local.cluster.local",
            "api.prod.svc.cluster.local",
        ],
    ),
    "five are enough": (
        "_http._tcp.api.prod.svc.x",
        [
            "_http._tcp.api.prod.svc.x",
            "_http._tcp.api.prod.svc.x.default.svc.cluster.local",
            "_http._tcp.api.prod.svc.x.svc.cluster.local",
            "_http._tcp.api.prod.svc.x.cluster.local",
        ],
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_short_names_are_searched_for_as_in_a_pod(case: str) -> None:
    name, expected = NAMES[case]
    assert list(names_to_ask(name, parse_resolv_conf(POD))) == expected


def test_name_that_gets_too_long_is_not_asked_for() -> None:
    name = ".".join(["a" * 49] * 5)  # 249 characters
    assert names_to_ask(name, ResolvConf(search=("too.long", "b.c"), ndots=9)) == (f"{name}.b.c", name)
    assert names_to_ask("app.test", ResolvConf()) == ("app.test",)
