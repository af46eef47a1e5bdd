"""The client address from trusted proxies (SPEC 4.2, RFC 7239)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import UNIX
from balance.http1.forwarding.realip import MAX_HOPS, UNKNOWN, Origin, TrustedProxies, is_in, node_address, origin_of

NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
TRUSTED = TrustedProxies((*NETWORKS, UNIX))


def xff(*said: str, peer: str = "10.0.0.1") -> Origin:
    """By lines like `For: 192.0.2.1`, each after X-Forwarded-."""
    lines = tuple((f"x-forwarded-{name.lower()}".encode(), value.encode("latin-1")) for name, value in map(_parts, said))
    return origin_of("xff", lines, peer, TRUSTED)


def rfc7239(*said: str, peer: str = "10.0.0.1") -> Origin:
    return origin_of("rfc7239", tuple((b"forwarded", value.encode("latin-1")) for value in said), peer, TRUSTED)


def _parts(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("[192.0.2.1]:80", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8:0::1]", "2001:db8::1"),
        ("[2001:db8::1]:8080", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("", ""),
        ("unknown", ""),
        ("_hidden", ""),
        ("192.0.2.1:", ""),
        ("192.0.2.1:123456", ""),
        ("192.0.2", ""),
        ("192.0.2.256", ""),
        ("192.0.2.01", ""),
        ("192.0.2.1/32", ""),
        ("192.0.2.1%eth0", ""),
        ("[2001:db8::1", ""),
        ("2001:db8::1]", ""),
        ("[2001:db8::1]x", ""),
        ("a.example", ""),
        ("::1 ", ""),
        ("\u0661", ""),
    ],
)
def test_an_entry_is_an_address_however_a_proxy_writes_it(text: str, address: str) -> None:
    assert node_address(text) == address


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("", "10.0.0.1"),
        (" , ", "10.0.0.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, ", "192.0.2.1"),
        ("192.0.2.1,, ,", "192.0.2.1"),
        ("1.1.1.1, 2.2.2.2", "2.2.2.2"),
        ("192.0.2.1,10.0.0.9 ,\t10.0.0.8", "192.0.2.1"),
        ("192.0.2.1:1234, 10.0.0.9:80, [fd00::9]:80, fd00::8", "192.0.2.1"),
        ('"192.0.2.1", "[fd00::1]:80"', "192.0.2.1"),
        ("192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"),
        ("10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1, unix:", "192.0.2.1"),
        ("192.0.2.1, unix:, 10.0.0.2", "192.0.2.1"),
        ("rubbish, 192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, rubbish, 10.0.0.8", UNKNOWN),
        ("rubbish", UNKNOWN),
        ("unknown", UNKNOWN),
        ('"192.0.2.1', UNKNOWN),
        (",".join(["192.0.2.1"] + ["10.0.0.2"] * (MAX_HOPS - 1)), "192.0.2.1"),
        (",".join(["192.0.2.1"] + ["10.0.0.2"] * MAX_HOPS), UNKNOWN),
        ("192.0.2.1" + "," * 1000, UNKNOWN),
    ],
)
@pytest.mark.parametrize("peer", ["10.0.0.1", "fd00::1"])
def test_client_is_the_first_from_the_right_that_is_not_trusted(peer: str, said: str, client: str) -> None:
    assert xff(f"For: {said}", peer=peer).address == (peer if client == "10.0.0.1" else client)


def test_lines_of_one_name_are_one_list() -> None:
    assert xff("For: 1.1.1.1, 192.0.2.1", "For: 10.0.0.2", "For:").address == "192.0.2.1"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ((), UNKNOWN),
        (("For: 192.0.2.1",), "192.0.2.1"),
        (("For: 1.1.1.1, 192.0.2.1, 10.0.0.2",), "192.0.2.1"),
        (("For: unix:",), UNKNOWN),
    ],
)
def test_the_peer_of_a_unix_socket_has_no_address_but_knows_its_client_s(said: tuple[str, ...], client: str) -> None:
    assert xff(*said, peer=UNKNOWN).address == client


def test_unix_is_no_hop_where_it_is_not_trusted() -> None:
    origin = origin_of("xff", ((b"x-forwarded-for", b"192.0.2.1, unix:"),), "10.0.0.1", TrustedProxies(NETWORKS))
    assert (origin.address, bool(origin.problem)) == (UNKNOWN, True)


@pytest.mark.parametrize(
    ("said", "proto", "host", "port"),
    [
        (("For: 192.0.2.1",), "", b"", 0),
        (("Proto: https", "Host: a.example", "Port: 443"), "https", b"a.example", 443),
        (("For: 192.0.2.1", "Proto: HTTPS"), "https", b"", 0),
        (("For: 192.0.2.1", "Proto: wss"), "wss", b"", 0),
        (("For: 192.0.2.1, 10.0.0.2", "Proto: https, http", "Host: a:1, b", "Port: 443, 80"), "https", b"a:1", 443),
        (("For: 1.1.1.1, 192.0.2.1", "Proto: https, http", "Host: evil, b", "Port: 1, 80"), "http", b"b", 80),
        (("For: 1.1.1.1, 192.0.2.1", "Proto: https", "Proto: http"), "http", b"", 0),
        (("For: 192.0.2.1, 10.0.0.2, 10.0.0.3", "Proto: https"), "https", b"", 0),  # the first said it, the others kept it
        (("For: 192.0.2.1", 'Proto: "https"', 'Host: "a"', 'Port: "8443"'), "https", b"a", 8443),
        (("For: rubbish, 10.0.0.2", "Proto: https, http"), "https", b"", 0),
    ],
)
def test_protocol_host_and_port_are_those_of_the_client_s_hop(
    said: tuple[str, ...], proto: str, host: bytes, port: int
) -> None:
    origin = xff(*said)
    assert (origin.proto, origin.host, origin.port) == (proto, host, port)


@pytest.mark.parametrize(
    ("said", "client", "proto", "host"),
    [
        ((), "10.0.0.1", "", b""),
        (("for=192.0.2.1",), "192.0.2.1", "", b""),
        (('For="[2001:DB8::1]:80";Proto=https;host="a:8443"',), "2001:db8::1", "https", b"a:8443"),
        (("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http",), "192.0.2.1", "https", b""),
        (("for=1.1.1.1;proto=https", "for=192.0.2.1;proto=http;host=a"), "192.0.2.1", "http", b"a"),
        (('for=1.1.1.1;x=", for=192.0.2.1;host="a"',), "192.0.2.1", "", b"a"),
        ((r'for=1.1.1.1;x="\, for=192.0.2.1',), "192.0.2.1", "", b""),
        (("for=192.0.2.1;proto=http;for=1.1.1.1",), UNKNOWN, "", b""),
        (("for=192.0.2.1 for=1.1.1.1",), UNKNOWN, "", b""),
        (("for=unknown;proto=https",), UNKNOWN, "https", b""),
        (("for=_hidden",), UNKNOWN, "", b""),
        (("proto=https;host=a",), UNKNOWN, "https", b"a"),
        (("for=fd00::1:80",), "fd00::1:80", "", b""),
        (("for=192.0.2.1:80",), "192.0.2.1", "", b""),
    ],
)
def test_forwarded_is_read_alike(said: tuple[str, ...], client: str, proto: str, host: bytes) -> None:
    origin = rfc7239(*said)
    assert (origin.address, origin.proto, origin.host) == (client, proto, host)


def test_one_family_says_nothing_where_the_other_is_believed() -> None:
    said = ((b"x-forwarded-for", b"1.1.1.1"), (b"forwarded", b"for=2.2.2.2;proto=https"), (b"x-real-ip", b"3.3.3.3"))
    assert origin_of("xff", said, "10.0.0.1", TRUSTED).address == "1.1.1.1"
    assert origin_of("xff", said, "10.0.0.1", TRUSTED).proto == ""
    assert origin_of("rfc7239", said, "10.0.0.1", TRUSTED).address == "2.2.2.2"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("For: 192.0.2.1", ""),
        ("For: unknown", ""),
        ("For: _hidden", ""),
        ("For: x, 192.0.2.1", ""),
        ("For: caf\xe9", r"X-Forwarded-For: 'caf\xe9' is no address: nobody knows whose request it is"),
        ("For: unix:/x", "X-Forwarded-For: 'unix:/x' is no address: nobody knows whose request it is"),
        ("Proto: gopher", "X-Forwarded-Proto: 'gopher' is no protocol"),
        ("Host: a/b", "X-Forwarded-Host: 'a/b' is no host"),
        ("Host: a:65536", "X-Forwarded-Host: 'a:65536' is no host"),
        ("Port: 0", "X-Forwarded-Port: '0' is no port"),
        ("Port: 65536", "X-Forwarded-Port: '65536' is no port"),
    ],
)
def test_what_can_not_be_read_is_complained_of(said: str, complaint: str) -> None:
    assert xff(said).problem == complaint


def test_a_broken_element_is_complained_of() -> None:
    assert rfc7239("for=a=b;x").problem == "Forwarded: 'for=a=b;x' is no address: nobody knows whose request it is"
    assert rfc7239("for=unknown, for=_x1").problem == ""


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.0.0.1", False),
        ("fd12::1", True),
        ("fe80::1", False),
        ("", False),
    ],
)
def test_trust_is_a_matter_of_networks(peer: str, trusted: bool) -> None:
    assert is_in(peer, NETWORKS) is trusted
    assert TrustedProxies(NETWORKS).has(peer) is trusted
    assert not TrustedProxies(()).has(peer)


def test_a_peer_without_an_address_is_trusted_as_unix_alone() -> None:
    assert TrustedProxies((UNIX,)).has(UNKNOWN)
    assert not TrustedProxies(NETWORKS).has(UNKNOWN)
    assert not TrustedProxies((UNIX,)).has("10.0.0.1")


# What a client may write in its own field before an honest proxy adds whom it came from.
_claims = st.lists(
    st.one_of(
        st.sampled_from(["10.0.0.2", "unknown", "unix:", '"', "", "6.6.6.6", "fd00::2", 'for="', "for=10.0.0.2"]),
        st.text("0123456789.:[]%_afx\"\\,;= \t", max_size=12),
    ),
    max_size=6,
).map(", ".join)  # fmt: skip
_clients = st.one_of(
    st.ip_addresses(v=4).filter(lambda ip: ip not in NETWORKS[0]),
    st.ip_addresses(v=6).filter(lambda ip: ip not in NETWORKS[1] and ip.ipv4_mapped is None),
).map(str)  # fmt: skip
_proxies = st.lists(st.sampled_from(["10.0.0.2", "10.9.9.9", "fd00::2"]), max_size=3)


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


@given(_claims, _clients, _proxies, st.booleans(), st.sampled_from(["http", "https"]))
def test_no_client_gets_itself_taken_for_another(
    claims: str, client: str, proxies: list[str], own_line: bool, proto: str
) -> None:
    """Each proxy adds whom it got the request from, to the line that came or in a line of its own."""
    hops = [client, *proxies]
    written = [claims.encode("latin-1")]
    elements = [claims.encode("latin-1")]
    protos = [b"https"]
    for number, hop in enumerate(hops):
        for lines, added in (
            (written, hop),
            (elements, f'for={_node(hop)};proto={proto if not number else "http"};host="a"'),
            (protos, proto if not number else "http"),
        ):
            if own_line:
                lines.append(added.encode())
            else:
                lines[-1] += b", " + added.encode()
    said = tuple((b"x-forwarded-for", value) for value in written) + tuple((b"x-forwarded-proto", value) for value in protos)
    origin = origin_of("xff", said, "10.0.0.1", TRUSTED)
    assert (origin.address, origin.proto, origin.problem) == (client, proto, "")
    origin = origin_of("rfc7239", tuple((b"forwarded", value) for value in elements), "10.0.0.1", TRUSTED)
    assert (origin.address, origin.proto, origin.problem) == (client, proto, "")
