"""The fields about the client that are sent to backends (SPEC 4.2, RFC 7239)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import PLAIN, growth

from balance.config.model import UNIX
from balance.http1.forwarding.forwarded_headers import ForwardedClient, ForwardedClients, forwarding_lines
from balance.http1.forwarding.realip import UNKNOWN, ForwardingFields, TrustedProxies
from balance.http1.request import RequestReader

TRUSTED = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"), UNIX))


def said_by(*lines: bytes) -> ForwardingFields:
    """What a reader keeps of these lines."""
    head = b"".join(line + b"\r\n" for line in (b"GET / HTTP/1.1", b"Host: a.example", *lines)) + b"\r\n"
    return RequestReader(PLAIN).read(head).fields.forwarding


def view(
    *lines: bytes,
    family: str = "xff",
    style: str = "xff",
    peer: str = "10.0.0.1",
    host: bytes = b"a.example",
    port: int = 8080,
    scheme: str = "http",
    via: bool = False,
) -> ForwardedClient:
    return ForwardedClients(family, style, TRUSTED, port, scheme, via=via).client(said_by(*lines), peer, host)


@pytest.mark.parametrize(
    ("style", "peer", "via", "before", "after"),
    [
        ("none", "192.0.2.1", False, b"", b""),
        ("none", "192.0.2.1", True, b"Via: 1.1 balance\r\n", b""),
        ("rfc7239", "192.0.2.1", False, b'Forwarded: for=192.0.2.1;proto=http;host="', b'"\r\n'),
        ("rfc7239", "2001:db8::1", False, b'Forwarded: for="[2001:db8::1]";proto=http;host="', b'"\r\n'),
        (
            "xff",
            "2001:db8::1",
            True,
            b"Via: 1.1 balance\r\nX-Forwarded-For: 2001:db8::1\r\nX-Real-IP: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Port: 8080\r\nX-Forwarded-Host: ",
            b"\r\n",
        ),
        (
            "both",
            "192.0.2.1",
            False,
            b"Forwarded: for=192.0.2.1;proto=http\r\nX-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"
            b"X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Forwarded-Host: ",
            b"\r\n",
        ),
        ("none", UNKNOWN, False, b"", b""),
        ("rfc7239", UNKNOWN, False, b'Forwarded: for=unknown;proto=http;host="', b'"\r\n'),
        ("xff", UNKNOWN, False, b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: ", b"\r\n"),
        (
            "both",
            UNKNOWN,
            False,
            b"Forwarded: for=unknown;proto=http\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ",
            b"\r\n",
        ),
    ],
)
def test_client_is_introduced_by_what_we_saw_of_it(style: str, peer: str, via: bool, before: bytes, after: bytes) -> None:
    port = 8080 if peer != UNKNOWN else 0  # a Unix socket has none
    assert forwarding_lines(style, peer, port, "http", via=via) == (before, after)


@pytest.mark.parametrize(
    ("lines", "goes_on"),
    [
        ([b"X-Forwarded-For: 192.0.2.9", b"X-Forwarded-Proto: https", b"Forwarded: for=x"],
         b"For: 192.0.2.9, 10.0.0.1|Real: 192.0.2.9|Proto: https|Port: 443|Host: a.example"),
        ([b"X-Forwarded-For: 1.1.1.1, 192.0.2.9", b"X-Forwarded-For: 10.0.0.2", b"X-Real-IP: 6.6.6.6", b"X-Forwarded-Host: o"],
         b"For: 1.1.1.1, 192.0.2.9, 10.0.0.2, 10.0.0.1|Real: 192.0.2.9|Proto: http|Port: 80|Host: o"),
        ([], b"For: 10.0.0.1|Real: 10.0.0.1|Proto: http|Port: 8080|Host: a.example"),
        ([b"X-Forwarded-For: [2001:DB8::1]:1234, "],
         b"For: [2001:DB8::1]:1234, 10.0.0.1|Real: 2001:db8::1|Proto: http|Port: 8080|Host: a.example"),
        ([b"X-Forwarded-For: 192.0.2.9, 10.0.0.2", b"X-Forwarded-Proto: https, http", b"X-Forwarded-Port: 8443, 80"],
         b"For: 192.0.2.9, 10.0.0.2, 10.0.0.1|Real: 192.0.2.9|Proto: https|Port: 8443|Host: a.example"),
        ([b"X-Forwarded-For: 192.0.2.9", b"X-Forwarded-Host: a.example:8443", b"X-Forwarded-Proto: https"],
         b"For: 192.0.2.9, 10.0.0.1|Real: 192.0.2.9|Proto: https|Port: 8443|Host: a.example:8443"),
        ([b"X-Forwarded-For: rubbish"], b"For: rubbish, 10.0.0.1|Proto: http|Port: 8080|Host: a.example"),
        ([b"X-Forwarded-For: unknown", b"X-Forwarded-Port: 0"],
         b"For: unknown, 10.0.0.1|Proto: http|Port: 8080|Host: a.example"),
        ([b'X-Forwarded-Host: a" b', b"X-Forwarded-Proto: x"],
         b"For: 10.0.0.1|Real: 10.0.0.1|Proto: http|Port: 8080|Host: a.example"),
        ([b"Forwarded: for=6.6.6.6;proto=https"], b"For: 10.0.0.1|Real: 10.0.0.1|Proto: http|Port: 8080|Host: a.example"),
    ],
)  # fmt: skip
def test_a_trusted_proxy_is_continued(lines: list[bytes], goes_on: bytes) -> None:
    assert view(*lines).lines == long(goes_on)


def long(short: bytes) -> bytes:
    """The lines of X-Forwarded fields, of one text that is easier to read."""
    fields = short.replace(b"Real:", b"X-Real-IP:").split(b"|")
    return b"".join(
        (field if field.startswith((b"X-", b"Forwarded:")) else b"X-Forwarded-" + field) + b"\r\n" for field in fields
    )


@pytest.mark.parametrize(
    ("lines", "goes_on"),
    [
        ([b"X-Forwarded-For: 192.0.2.9", b"X-Forwarded-Proto: https"],
         b"For: 192.0.2.9|Real: 192.0.2.9|Proto: https|Port: 443|Host: a.example"),
        ([b"X-Forwarded-For: 192.0.2.9, 10.0.0.2"],
         b"For: 192.0.2.9, 10.0.0.2|Real: 192.0.2.9|Proto: http|Host: a.example"),
        ([], b"Proto: http|Host: a.example"),
    ],
)  # fmt: skip
def test_a_unix_socket_has_no_port_and_its_peer_no_address_to_tell(lines: list[bytes], goes_on: bytes) -> None:
    assert view(*lines, peer=UNKNOWN, port=0).lines == long(goes_on)


@pytest.mark.parametrize(
    ("lines", "goes_on"),
    [
        ([b'Forwarded: for="[2001:db8::1]"', b"X-Forwarded-For: 1.1.1.1"],
         b'for="[2001:db8::1]", for=10.0.0.1;proto=http;host="a.example"'),
        ([b"Forwarded: for=192.0.2.9,", b"Forwarded: for=10.0.0.2"],
         b'for=192.0.2.9, for=10.0.0.2, for=10.0.0.1;proto=http;host="a.example"'),
        ([b'Forwarded: for="1.1.1.1, for=192.0.2.9;proto=https, for=10.0.0.2'],  # half a string would swallow what follows
         b'for=192.0.2.9;proto=https, for=10.0.0.2, for=10.0.0.1;proto=http;host="a.example"'),
        ([b"Forwarded: rubbish"], b'for=unknown;proto=http, for=10.0.0.1;proto=http;host="a.example"'),
        ([], b'for=10.0.0.1;proto=http;host="a.example"'),
    ],
)  # fmt: skip
def test_a_trusted_proxy_is_continued_in_forwarded(lines: list[bytes], goes_on: bytes) -> None:
    assert view(*lines, family="rfc7239", style="rfc7239").lines == b"Forwarded: " + goes_on + b"\r\n"


@pytest.mark.parametrize(
    ("family", "style", "lines", "goes_on"),
    [
        ("xff", "rfc7239", [b"X-Forwarded-For: 1.1.1.1, 2001:db8::9:0, 10.0.0.2", b"X-Forwarded-Proto: https, http",
                            b"X-Forwarded-Host: a, b", b"Forwarded: for=6.6.6.6"],
         b'Forwarded: for="[2001:db8::9:0]";proto=https;host="a", for=10.0.0.2, for=10.0.0.1;proto=http;host="a.example"'),
        ("xff", "rfc7239", [], b'Forwarded: for=10.0.0.1;proto=http;host="a.example"'),
        ("xff", "rfc7239", [b"X-Forwarded-For: x"],
         b'Forwarded: for=unknown;proto=http, for=10.0.0.1;proto=http;host="a.example"'),
        ("rfc7239", "xff", [b'Forwarded: for=1.1.1.1, for="192.0.2.9:80";proto=https, for=10.0.0.2',
                            b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Host: evil"],
         b"For: 192.0.2.9, 10.0.0.2, 10.0.0.1|Real: 192.0.2.9|Proto: https|Port: 443|Host: a.example"),
        ("rfc7239", "xff", [b"X-Forwarded-For: 6.6.6.6"],
         b"For: 10.0.0.1|Real: 10.0.0.1|Proto: http|Port: 8080|Host: a.example"),
        ("xff", "both", [b"X-Forwarded-For: 192.0.2.9"],
         b'Forwarded: for=192.0.2.9;proto=http, for=10.0.0.1;proto=http;host="a.example"|'
         b"For: 192.0.2.9, 10.0.0.1|Real: 192.0.2.9|Proto: http|Port: 8080|Host: a.example"),
    ],
)  # fmt: skip
def test_what_is_believed_is_told_in_the_fields_that_are_written(
    family: str, style: str, lines: list[bytes], goes_on: bytes
) -> None:
    assert view(*lines, family=family, style=style).lines == long(goes_on)


def test_style_none_tells_nothing_and_knows_the_client_all_the_same() -> None:
    seen = view(b"X-Forwarded-For: 1.1.1.1", style="none", via=True)
    assert (seen.lines, seen.address) == (b"Via: 1.1 balance\r\n", "1.1.1.1")


@pytest.mark.parametrize("style", ["xff", "rfc7239", "both", "none"])
def test_what_else_a_trusted_proxy_says_goes_on_as_it_came(style: str) -> None:
    others = b"x-forwarded-prefix: /a, /b\r\nx-forwarded-user: J\xc3\xb8rn\r\nx-forwarded-user: \r\n"
    said = (b"X-Forwarded-Prefix: /a, /b", b"X-Forwarded-User: J\xc3\xb8rn", b"X-Forwarded-USER:  ")
    assert view(*said, style=style).lines == view(style=style).lines + others


@pytest.mark.parametrize(
    ("lines", "scheme", "is_secure"),
    [
        ([], "http", False),
        ([], "https", True),
        ([b"X-Forwarded-Proto: https"], "http", True),
        ([b"X-Forwarded-Proto: HTTPS, http", b"X-Forwarded-For: 1.1.1.1, 10.0.0.3"], "http", True),
        ([b"X-Forwarded-Proto: https, http", b"X-Forwarded-For: 1.1.1.1"], "http", False),
        ([b"X-Forwarded-Proto: wss"], "http", True),
        ([b"X-Forwarded-Proto: http"], "https", False),
        ([b"X-Forwarded-Proto: nonsense"], "https", True),
        ([b"Forwarded: proto=https"], "http", False),
    ],
)
def test_tls_is_that_of_the_client_s_own_connection(lines: list[bytes], scheme: str, is_secure: bool) -> None:
    assert view(*lines, scheme=scheme).is_secure is is_secure


_lines = st.lists(
    st.tuples(
        st.sampled_from([b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"]),
        st.one_of(
            st.sampled_from([b"192.0.2.1", b"10.0.0.2, 10.0.0.3", b"for=192.0.2.1", b'for="', b"https", b"a", b"80"]),
            st.text('\t !"#$%&()*+,-./0129:;<=>?@[\\]^_abforxz{|}~\xe9', max_size=30).map(lambda text: text.encode("latin-1")),
        ),
    ),
    max_size=5,
).map(tuple)  # fmt: skip


@given(
    _lines,
    st.sampled_from(["xff", "rfc7239"]),
    st.sampled_from(["xff", "rfc7239", "both"]),
    st.sampled_from(["10.0.0.1", UNKNOWN]),
)
def test_whatever_was_said_what_is_told_are_whole_lines_and_the_same_each_time(
    said: ForwardingFields, family: str, style: str, peer: str
) -> None:
    views = ForwardedClients(family, style, TRUSTED, 0, "http", via=False)
    first = views.client(said, peer, b"a")
    again = views.client(said, peer, b"a")
    assert (again.lines, again.address, again.problem) == (first.lines, first.address, first.problem)
    for line in first.lines.splitlines(True):
        name, _, value = line.partition(b": ")
        assert name in (
            b"Forwarded",
            b"X-Forwarded-For",
            b"X-Real-IP",
            b"X-Forwarded-Proto",
            b"X-Forwarded-Port",
            b"X-Forwarded-Host",
        )
        assert value.strip(b" \t\r\n") and value.endswith(b"\r\n")
        assert name != b"X-Forwarded-Port" or value != b"0\r\n"
        assert name == b"X-Forwarded-For" or b"unknown" not in value or name == b"Forwarded"


def test_memory_of_clients_is_bounded() -> None:
    views = ForwardedClients("xff", "xff", TRUSTED, 80, "http", via=False)
    said = [((b"x-forwarded-for", b"%400d, 192.0.2.1" % number),) for number in range(5000)]
    assert growth(lambda each: views.client(each, "10.0.0.1", b"a"), lambda number: said[number % 5000]) < 4_000_000
