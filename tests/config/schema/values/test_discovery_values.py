"""Names of DNS and resolvers, as people write them."""

import pytest

from balance.config.schema.values.discovery_values import DNS_NAME, RESOLVER

NAMES = [
    ("app.example.org", "app.example.org"),
    ("App.Example.ORG", "app.example.org"),
    ("app", "app"),
    ("app.example.org.", "app.example.org."),
    ("_http._tcp.app.default.svc.cluster.local", "_http._tcp.app.default.svc.cluster.local"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("例え.テスト.", "xn--r8jz45g.xn--zckzah."),
    ("xn--strae-oqa.example", "xn--strae-oqa.example"),
    (".".join(["a" * 63] * 3 + ["b" * 61]) + ".", ".".join(["a" * 63] * 3 + ["b" * 61]) + "."),
]


@pytest.mark.parametrize(("given", "name"), NAMES)
def test_name_is_read_as_dns_writes_it(given: str, name: str) -> None:
    assert DNS_NAME.read(given) == name


WRONG_NAMES = [
    ("", "is empty"),
    (".", "is empty"),
    ("10.0.0.1", "is an address, not a name"),
    ("[::1]", "is an address, not a name"),
    ("app.example.org:8080", "write app.example.org, and port: 8080 beside it"),  # caddy#7128
    ("http://app.example.org", "write the name alone"),
    ("app/x", "write the name alone"),
    ("*.example.org", "is no name"),
    ("a..b", "is no name"),
    (".a", "is no name"),
    ("a b", "is no name"),
    ("a\\.b", "is no name"),
    ("a\n.b", "is no name"),
    ("a" * 64, "is no name"),
    (".".join(["a" * 63] * 4), "is no name"),
    ("straße.example", "two ways"),
    ("\u0627a.example", "is no name that DNS can be asked for"),
]


@pytest.mark.parametrize(("given", "words"), WRONG_NAMES)
def test_what_is_no_name_is_refused_with_what_to_write(given: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DNS_NAME.read(given)


RESOLVERS = [
    ("10.0.0.2", "10.0.0.2:53"),
    ("10.0.0.2:5353", "10.0.0.2:5353"),
    ("::1", "[::1]:53"),
    ("[::1]", "[::1]:53"),
    ("[2001:DB8:0::53]:5353", "[2001:db8::53]:5353"),
    ("fe80::1%eth0", "[fe80::1]:53%eth0"),
    ("[fe80::1%eth0]:5353", "[fe80::1]:5353%eth0"),
]


@pytest.mark.parametrize(("given", "resolver"), RESOLVERS)
def test_resolver_is_an_address_with_or_without_a_port(given: str, resolver: str) -> None:
    assert RESOLVER.read(given) == resolver


WRONG_RESOLVERS = [
    ("dns.example.org", "not the address of a resolver"),
    ("", "not the address of a resolver"),
    ("10.0.0.2:0", "not a port"),
    ("10.0.0.2:", "not a port"),
    ("10.0.0.2:65536", "not a port"),
    ("10.0.0.2%eth0", "is no interface"),
    ("fe80::1", "write which, as in fe80::1%eth0"),
    ("fe80::1%", "is no interface"),
    ("fe80::1%a,10.0.0.1", "is no interface"),
    ("10.0.0.2,10.0.0.3", "not the address of a resolver"),
    ("tls://10.0.0.2", "not the address|not a port"),
]


@pytest.mark.parametrize(("given", "words"), WRONG_RESOLVERS)
def test_what_is_no_resolver_is_refused(given: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RESOLVER.read(given)
