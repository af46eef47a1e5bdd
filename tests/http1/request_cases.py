"""What clients send, and what of it goes on: one line a case, with the rule it comes from. Data only; the tests read it.

A verdict is the messages that go on, in order, and then how the bytes end: OK between two messages, MORE inside one, or the
status that refuses the rest. A message whose body is refused half-way never goes on whole, so it is not among them.

Sources: numbers are sections of RFC 9112 unless 9110 stands before them; other words name a precedent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from balance.http1.framing import Framing

OK = "ok"
MORE = "more"


class Passed(NamedTuple):
    """A request that goes on."""

    method: bytes
    target: bytes
    body: bytes = b""
    framing: Framing = Framing.NONE


class Case(NamedTuple):
    name: str
    sent: bytes
    verdict: tuple[Passed | str | int, ...]
    source: str


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: a\r\n"
END = b"\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"  # in chunks
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"0\r\n\r\n"

got = Passed(b"GET", b"/")
got_next = Passed(b"GET", b"/next")
posted_nothing = Passed(b"POST", b"/p")
posted = Passed(b"POST", b"/p", b"hello", Framing.LENGTH)
chunked = Passed(b"POST", b"/p", b"hello", Framing.CHUNKED)
chunked_nothing = Passed(b"POST", b"/p", b"", Framing.CHUNKED)


def each(what: str, template: bytes, verdict: tuple[Passed | str | int, ...], source: str, *values: bytes) -> Iterator[Case]:
    """The same request with each of `values` in the place of %b."""
    for value in values:
        shown = ascii(value)[2:-1]
        label = shown if len(shown) <= 40 else f"of {len(value)} bytes"
        yield Case(f"{what} {label}", template.replace(b"%b", value), verdict, source)


LENGTHS = (
    Case("no length, no body", POST + END, (posted_nothing, OK), "6.3 rule 7"),
    Case("length", POST + b"Content-Length: 5\r\n\r\nhello", (posted, OK), "6.3 rule 6"),
    Case("length zero", POST + b"Content-Length: 0\r\n\r\n", (posted_nothing, OK), "6.3 rule 6"),
    Case("length with the name in capitals", POST + b"CONTENT-LENGTH: 5\r\n\r\nhello", (posted, OK), "9110 5.1"),
    Case("length of a GET", GET + b"Content-Length: 2\r\n\r\nhi", (Passed(b"GET", b"/", b"hi", Framing.LENGTH), OK),
         "9110 9.3.1"),
    Case("length, body half there", POST + b"Content-Length: 5\r\n\r\nhel", (MORE,), "8"),
    Case("length of 32 bits and more", POST + b"Content-Length: 4294967301\r\n\r\nhello", (MORE,), "int32 wrap"),
    Case("length of 18 digits", POST + b"Content-Length: 999999999999999999\r\n\r\nhello", (MORE,), "9110 8.6"),
    *each("length", POST + b"Content-Length:%b\r\n\r\nhello", (posted, OK), "5.1 OWS", b"5", b"  5", b" 5 ", b"\t5\t", b" 005"),
    *each("length", POST + b"Content-Length: %b\r\n\r\nhello", (400,), "6.3 rule 5",
          b"", b"+5", b"-5", b"-0", b"0x5", b"5 5", b"5.0", b"5e0", b'"5"', b"5;", b"5a", b"five", b"5_0", b"5\x0b", b"5\x00",
          b"\xd9\xa5", b"\xef\xbc\x95", b"9999999999999999999", b"18446744073709551621", b"1" + b"0" * 40),
    *each("length list", POST + b"Content-Length: %b\r\n\r\nhello", (400,), "6.3 rule 5, stricter",
          b"5,5", b"5, 5", b"5,", b",5", b"5, 6", b"0, 5"),
    *each("two lengths", POST + b"Content-Length: 5\r\n%b\r\n\r\nhello", (400,), "6.3 rule 5, stricter",
          b"Content-Length: 5", b"Content-Length: 6", b"content-length: 0", b"X: y\r\nContent-Length: 5", b"Content-Length:"),
    Case("length split over lines", POST + b"Content-Length:\r\n 5\r\n\r\nhello", (400,), "5.2"),
    Case("length under another name", POST + b"Content_Length: 5\r\n\r\n", (posted_nothing, OK), "WSGI's spelling"),
)  # fmt: skip

BOTH = (
    Case("length, then chunked", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, (400,),
         "6.3 rule 3"),
    Case("chunked, then length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HELLO, (400,),
         "6.3 rule 3"),
    Case("length zero and chunked", POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, (400,), "CL.0"),
    *each("length and", POST + b"Content-Length: 5\r\n%b\r\n\r\nhello", (400,), "6.3 rule 3",
          b"Transfer-Encoding: identity", b"Transfer-Encoding: xchunked", b"Transfer-Encoding:", b"transfer-encoding: CHUNKED",
          b"Transfer-Encoding: gzip, chunked", b"X: y\r\nTransfer-Encoding: chunked", b"Transfer-Encoding : chunked",
          b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked", b"Transfer-Encoding:\x0bchunked",
          b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding\x00: chunked"),
    Case("length and chunked under another name", POST + b"Content-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\nhello",
         (posted, OK), "nginx underscores_in_headers"),
)  # fmt: skip

CODINGS = (
    *each("coding", POST + b"Transfer-Encoding:%b\r\n\r\n" + HELLO, (chunked, OK), "7",
          b" chunked", b"chunked", b" Chunked", b" CHUNKED", b"\tchunked", b" chunked ", b" chunked\t", b"\tchunked\t",
          b" \tchunked \t "),
    *each("coding", POST + b"Transfer-Encoding: %b\r\n\r\n" + HELLO, (400,), "6.3 rule 4",
          b"", b"identity", b"gzip", b"xchunked", b"chunkedx", b"chunked x", b"x chunked", b"chunked, identity",
          b"chunked, gzip",
          b"identity, chunked", b"chunked, chunked", b"chunked,", b", chunked", b"chunked;q=1", b'"chunked"', b"'chunked'",
          b"chunk ed", b"\x0bchunked", b"\x0cchunked", b"chunked\x00", b"\x00chunked", b"chunked\x0b", b"chunked\xa0",
          b"chun\xe2\x84\xaaed", b"[chunked]"),
    *each("coding", POST + b"Transfer-Encoding: %b\r\n\r\n" + HELLO, (501,), "6.1",
          b"gzip, chunked", b"gzip,chunked", b"x, chunked", b"deflate, gzip, chunked"),
    *each("two codings", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: %b\r\n\r\n" + HELLO, (400,), "6.3, stricter",
          b"chunked", b"identity", b"x", b""),
    Case("gzip and chunked in two lines", POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
         (400,), "6.3, stricter"),
    Case("coding split over lines", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + HELLO, (400,), "5.2"),
    Case("coding in HTTP/1.0", OLD + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, (400,), "6.1"),
    Case("coding and length in HTTP/1.0", OLD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, (400,),
         "6.1"),
    Case("coding named in Connection", POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
         (chunked, OK), "9110 7.6.1"),
)  # fmt: skip

CHUNKS = (
    Case("chunks none", CHUNKED + LAST, (chunked_nothing, OK), "7.1"),
    Case("chunks two", CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n" + LAST, (chunked, OK), "7.1"),
    Case("chunks that look like chunks", CHUNKED + b"7\r\n0\r\n\r\nGE\r\n" + LAST,
         (Passed(b"POST", b"/p", b"0\r\n\r\nGE", Framing.CHUNKED), OK), "7.1"),
    Case("chunk size in capitals", CHUNKED + b"A\r\n0123456789\r\n" + LAST,
         (Passed(b"POST", b"/p", b"0123456789", Framing.CHUNKED), OK), "7.1"),
    *each("chunk size", CHUNKED + b"%b\r\nhello\r\n" + LAST, (chunked, OK), "7.1",
          b"5", b"05", b"000000000000005", b"5;a", b"5;a=b", b'5;a="b c"', b"5;a=b;c",
          b"5;" + b"x" * 255, b"000000000000005;" + b"x" * 255),
    *each("last chunk", CHUNKED + b"5\r\nhello\r\n%b\r\n\r\n", (chunked, OK), "7.1", b"0", b"00", b"000000000000000", b"0;a=b"),
    *each("chunk size", CHUNKED + b"%b\r\nhello\r\n" + LAST, (400,), "7.1",
          b"", b"0x5", b"0X5", b"+5", b"-5", b" 5", b"5 ", b"\t5", b"5\t", b"5 ;a", b"5;\xc3\xa9", b"5h", b"g", b"5,5", b"5_0",
          b"5.",
          b"\x005",
          b"5\x00", b"5\x0b", b";a", b"0000000000000005", b"10000000000000005", b"FFFFFFFFFFFFFFFF", b"5;\x00", b"5;\x7f",
          b"5;a\x01",
          b"5\r", b"5;a\r", b"5\n", b"5;a\n", b'5;a="\r\n"', b"5;" + b"x" * 256, b"\xd9\xa5"),
    *each("last chunk", CHUNKED + b"5\r\nhello\r\n%b\r\n\r\n", (400,), "7.1", b"", b"-0", b"0x0", b"0 ", b"+0", b"0\n"),
    Case("chunk extensions of 10 KB in all", CHUNKED + (b"5;" + b"x" * 50 + b"\r\nhello\r\n") * 200 + LAST,
         (Passed(b"POST", b"/p", b"hello" * 200, Framing.CHUNKED), OK), "a share of the body"),
    Case("chunk extensions of 26 KB in all for 100 bytes", CHUNKED + (b"1;" + b"x" * 255 + b"\r\nh\r\n") * 100 + LAST, (400,),
         "CVE-2023-39326"),
    Case("chunk data longer than its size", CHUNKED + b"4\r\nhello\r\n" + LAST, (400,), "7.1"),
    Case("chunk data shorter than its size", CHUNKED + b"6\r\nhello\r\n" + LAST, (400,), "7.1"),
    Case("chunk data that ends in LF", CHUNKED + b"5\r\nhello\n" + LAST, (400,), "2.2"),
    Case("chunk data that ends in CR", CHUNKED + b"5\r\nhello\r" + LAST, (400,), "2.2"),
    Case("chunk size that ends in LF", CHUNKED + b"5\nhello\r\n" + LAST, (400,), "TERM.EXT"),
    Case("chunk extension that ends in LF", CHUNKED + b"5;a\nhello\r\n" + LAST, (400,), "TERM.EXT"),
    Case("last chunk that ends in LF", CHUNKED + b"5\r\nhello\r\n0\n\r\n", (400,), "TERM.EXT"),
    Case("chunk size of no end", CHUNKED + b"0" * 1200, (400,), "bounded lines"),
    Case("chunk extension of no end", CHUNKED + b"5;" + b"a" * 1200, (400,), "CVE-2023-39326"),
    Case("chunk half there", CHUNKED + b"5\r\nhel", (MORE,), "8"),
    Case("chunk size half there", CHUNKED + b"5", (MORE,), "8"),
    Case("chunks without the last", CHUNKED + b"5\r\nhello\r\n", (MORE,), "8"),
    Case("chunks without the empty line", CHUNKED + b"5\r\nhello\r\n0\r\n", (MORE,), "8"),
    Case("chunks without the last LF", CHUNKED + b"5\r\nhello\r\n0\r\n\r", (MORE,), "8"),
)  # fmt: skip

TRAILERS = (
    *each("trailer", CHUNKED + b"5\r\nhello\r\n0\r\n%b\r\n\r\n", (chunked, OK), "7.1.2",
          b"X-Sum: 1", b"X-Sum:", b"A: 1\r\nB: 2", b"Host: evil",
          b"Authorization: x", b"X_Sum: 1", b"X: \xff\t"),
    *each("trailer", CHUNKED + b"5\r\nhello\r\n0\r\n%b\r\n\r\n", (400,), "7.1.2",
          b"X", b"X : y", b": y", b" X: y", b"X: y\r\n z", b"X: \x00", b"X: a\nb", b"X: a\rb", b"X: y\x7f",
          b"Content-Length: 5", b"Transfer-Encoding: chunked", b"GET / HTTP/1.1",
          b"X: " + b"y" * 8200),
)  # fmt: skip

HOSTS = (
    *each("host", b"GET / HTTP/1.1\r\nHost:%b\r\n\r\n", (got, OK), "3.2",
          b"a", b" a.example", b" A.EXAMPLE:8080 ", b" 127.0.0.1:80", b" [::1]", b" [::1]:8080", b" a_b", b" a.",
          b" xn--e1afmkfd", b" a:", b" [::1]:", b" a!$&+b", b" a:65535", b" a:00080"),
    *each("host", b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n", (400,), "3.2",
          b"", b"a b", b"a,b", b"a, b", b"u@a", b"u:p@a", b"a/x", b"a?x", b"a#x", b"a\\b", b"http://a", b"a::", b"a:x", b"a:-1",
          b":80",
          b"a:65536", b"a:99999", b"[::1]:65600",
          b"a:123456", b"[::1", b"::1", b"[::g]", b"[]", b"[::1]x", b"\xc3\xa9", b"%61", b"a\x00", b"a;b", b"a=b",
          b"a'b", b"a(b)", b'"a"', b"a" * 256, b"*", b"*.a", b":"),
    *each("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n", (400,), "3.2",
          b"Host: a", b"Host: b", b"host: b", b"X: y\r\nHost: b", b"Host:", b"Host : b", b" Host: b"),
    Case("no host", b"GET / HTTP/1.1\r\n\r\n", (400,), "3.2"),
    Case("no host, fields", b"GET / HTTP/1.1\r\nX: y\r\n\r\n", (400,), "3.2"),
    Case("no host in HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", (got, OK), "3.2"),
    Case("two hosts in HTTP/1.0", OLD + b"Host: b\r\n\r\n", (400,), "3.2"),
    Case("host named in Connection", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", (got, OK), "9110 7.6.1"),
)  # fmt: skip

TARGETS = (
    *(
        Case(f"target {sent.decode()}", b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % sent, (Passed(b"GET", on), OK), source)
        for sent, on, source in (
            (b"/a?b", b"/a?b", "3.2.1"),
            (b"/?", b"/?", "3.2.1"),
            (b"//x", b"//x", "byte for byte"),
            (b"/../x", b"/../x", "byte for byte"),
            (b"/%2e%2E/%00", b"/%2e%2E/%00", "byte for byte"),
            (b"/a?b=http://c@d/?e", b"/a?b=http://c@d/?e", "3.2.1"),
            (b'/"<>\\^`{|}', b'/"<>\\^`{|}', "3.2, as nginx"),
            (b"http://a/x?y", b"/x?y", "3.2.2"),
            (b"HTTP://A/x", b"/x", "9110 4.2.3"),
            (b"http://a", b"/", "3.2.1"),
            (b"http://a?x", b"/?x", "3.2.1"),
            (b"http://a//x", b"//x", "3.2.2"),
            (b"https://a/x", b"/x", "3.2.2"),
            (b"http://a:80/x", b"/x", "9110 4.2.3"),
            (b"http://a:/x", b"/x", "9110 4.2.3"),
            (b"https://A:443/x", b"/x", "9110 4.2.3"),
        )
    ),
    *each("target", b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n", (400,), "3.2",
          b"*", b"a", b"a/b", b"a:80", b"?x", b"/a#b", b"/#", b"/\xc3\xa9", b"/\x00", b"/\x7f", b"/\x0b", b"/\x80", b"http:/a/",
          b"http:///x", b"http://", b"ftp://a/", b"file:///x", b"javascript:x", b"http://a#x", b"://a/", b"\\", b"%2f"),
    *each("target of another host", b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n", (400,), "3.2.2, stricter",
          b"http://b/", b"http://a:8080/", b"http://a:443/", b"https://a:80/", b"http://u@a/", b"http://a@b/", b"http://a.b/", b"http://a%2f/"),
    Case("target with a host and no Host", b"GET http://a/ HTTP/1.1\r\n\r\n", (400,), "3.2"),
    Case("target with a host and no Host in HTTP/1.0", b"GET http://a/ HTTP/1.0\r\n\r\n", (got, OK), "3.2.2"),
    Case("target without a host and no Host in HTTP/1.0", b"GET http:///x HTTP/1.0\r\n\r\n", (400,), "3.2.2"),
    Case("target with a v6 host", b"GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", (got, OK), "3.2.2"),
    Case("target * of OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", (Passed(b"OPTIONS", b"*"), OK), "3.2.4"),
    Case("target of OPTIONS with a host", b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", (Passed(b"OPTIONS", b"*"), OK),
         "3.2.4"),
    Case("target of OPTIONS with a path", b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", (Passed(b"OPTIONS", b"/"), OK),
         "3.2.4"),
    Case("target ** of OPTIONS", b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", (400,), "3.2.4"),
    Case("target * of POST", b"POST * HTTP/1.1\r\nHost: a\r\n\r\n", (400,), "3.2.4"),
    Case("target of CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", (405,), "9110 9.3.6"),
    Case("target of CONNECT with a body", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nhello", (405,),
         "9110 9.3.6"),
)  # fmt: skip

LINES = (
    *each("request line", b"%b\r\nHost: a\r\n\r\n", (400,), "3",
          b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"\tGET / HTTP/1.1",
          b"GET\t/ HTTP/1.1",
          b"GET /\tHTTP/1.1", b"GET /\x0bHTTP/1.1", b"GET\x00/ HTTP/1.1", b"GET / a HTTP/1.1", b"GET /", b"GET / ", b"GET",
          b"/",
          b"GET HTTP/1.1", b"GET  HTTP/1.1", b"GET / HTTP/1.1\r", b"GET /\rHTTP/1.1", b"GET / \rHTTP/1.1",
          b"GET / HTTP/1", b"GET / HTTP/11", b"GET / HTTP/1.10", b"GET / HTTP/01.1", b"GET / HTTP/1.1.1", b"GET / HTTP/1,1",
          b"GET / HTTP/+1.1", b"GET / HTTP/1.1x", b"GET / http/1.1", b"GET / Http/1.1", b"GET / HTTP", b"GET / HTTP/",
          b"GET / HTTP/.1",
          b"GET / XTTP/1.1", b"GET / HTTPS/1.1", b"GET / HTTP /1.1", b"GET / RTSP/1.0", b"GET / ICE/1.0", b"GET / HTTP/1.1\x00",
          b"HTTP/1.1 200 OK", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", b"G(T / HTTP/1.1", b"GET: / HTTP/1.1",
          b"G\xc3\x89T / HTTP/1.1",
          b'"GET" / HTTP/1.1', b"\xef\xbb\xbfGET / HTTP/1.1", b"GET, / HTTP/1.1", b"\x00GET / HTTP/1.1"),
    *each("version", b"GET / HTTP/%b\r\nHost: a\r\n\r\n", (505,), "9110 15.6.6",
          b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"0.0", b"9.9"),
    Case("version of HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (505,), "9113 3.4"),
    Case("version left out", b"GET /\r\n\r\n", (400,), "HTTP/0.9"),
    *each("method", b"%b / HTTP/1.1\r\nHost: a\r\n\r\n", (501,), "9110 9.1, nobody may take it for HEAD",
          b"head", b"Head", b"connect", b"Trace", b"PRI", b"pri", b"X" * 65, b"X" * 9000),
    *each("method that is no token", b"%b / HTTP/1.1\r\nHost: a\r\n\r\n", (400,), "9110 5.6.2", b"(" * 65,
          b"X" * 60 + b"{" * 60),
    *each("method of no known version", b"%b / HTTP/2.0\r\nHost: a\r\n\r\n", (501,), "3", b"X" * 65),
    *each("method alone in its line", b"%b\r\nHost: a\r\n\r\n", (501,), "3", b"X" * 65, b"X" * 9000),
    Case("method TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", (405,), "nginx, Apache TraceEnable"),
    *(
        Case(f"method {name.decode()}", name + b" /m HTTP/1.1\r\nHost: a\r\n\r\n", (Passed(name, b"/m"), OK), "9110 9.1")
        for name in (b"HEAD PUT DELETE PATCH OPTIONS PROPFIND M-SEARCH PURGE QUERY BAN VERSION-CONTROL BASELINE-CONTROL LABEL "
                     b"UPDATE UPDATEREDIRECTREF MKWORKSPACE ORDERPATCH RDG_IN_DATA RPC_IN_DATA CCM_POST BREW FOO get Get GETX "
                     b"GET_ ! !#$%&'*+-.^_`|~ SOURCE DESCRIBE FLUSH HEADX " + b"X" * 64).split()
    ),
    *(
        Case(f"method {name.decode()} with {what}", name + b" /m HTTP/1.1\r\nHost: a\r\n" + framed + NEXT,
             (Passed(name, b"/m", b"hello", framing), got_next, OK), "9110 9.1")
        for name in (b"BAN", b"RDG_IN_DATA", b"get", b"DESCRIBE", b"SOURCE")
        for what, framed, framing in (
            ("a length", b"Content-Length: 5\r\n\r\nhello", Framing.LENGTH),
            ("chunks", b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, Framing.CHUNKED),
        )
    ),
    *each("method BAN", b"BAN /m HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n0\r\n\r\n" + NEXT, (400,), "6.3, as with POST",
          b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Content-Length: 5, 5", b"Transfer-Encoding: xchunked",
          b"Transfer-Encoding : chunked", b"X : y", b"X: \x01", b" X: y"),
    Case("method BAN in HTTP/1.0", b"BAN /m HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
         (Passed(b"BAN", b"/m", b"hello", Framing.LENGTH), OK), "9110 9.1"),
    Case("method BAN of the target *", b"BAN * HTTP/1.1\r\nHost: a\r\n\r\n", (400,), "3.2.4"),
    Case("method BAN that offers an upgrade",
         b"BAN /m HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello" + NEXT,
         (Passed(b"BAN", b"/m", b"hello", Framing.LENGTH), got_next, OK), "9110 7.8"),
    Case("method PRI of the preface in HTTP/1.1", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", (501,), "9113 11.6"),
    Case("empty line first", END + NEXT, (got_next, OK), "2.2"),
    Case("empty lines first", END * 3 + NEXT, (got_next, OK), "2.2, as nginx"),
    Case("empty lines and an LF first", END * 2 + b"\n" + NEXT, (400,), "2.2"),
    Case("empty line and a CR first", END + b"\r" + NEXT, (400,), "2.2"),
    Case("space line first", b" \r\n" + NEXT, (400,), "2.2"),
    Case("LF line first", b"\n" + NEXT, (400,), "2.2"),
    Case("CR first", b"\r" + NEXT, (400,), "2.2"),
)  # fmt: skip

FIELDS = (
    Case("fields plain", GET + b"X: y\r\nx-a:b\r\n\r\n", (got, OK), "5"),
    *each("name", GET + b"%b: y\r\n\r\n", (got, OK), "9110 5.6.2", b"!#$%&'*+-.^`|~09Az", b"X_Y", b"x" * 200),
    *each("name", GET + b"%b: y\r\n\r\n", (400,), "5.1",
          b"", b"X ", b"X\t", b" X", b"\tX", b"X Y", b"X\x00", b"\x00X", b"X\x0b", b"X\xc3\xa9", b"X\x7f", b"X(", b"X)", b"X,",
          b"X/", b"X;",
          b"X<", b"X=", b"X>", b"X?", b"X@", b"X[", b"X\\", b"X]", b"X{", b"X}", b'"X"'),
    *each("line", GET + b"%b\r\n\r\n", (400,), "5", b"X", b"X y", b"X=y", b"  ", b"\t", b": y", b"GET /smuggled HTTP/1.1"),
    *each("value", GET + b"X:%b\r\n\r\n", (got, OK), "9110 5.5", b"", b" ", b"a\tb", b"a  b", b"\xff\x80", b":", b' "a',
          b"a" * 8000),
    *each("value", GET + b"X: %b\r\n\r\n", (400,), "9110 5.5",
          b"\x00", b"a\x00b", b"a\x01", b"a\x08", b"a\x0b", b"a\x0c", b"a\x1f", b"a\x7f", b"a\rb", b"a\r", b"\ra", b"a\nb",
          b"a\n", b"\na",
          b"a\n\nGET /smuggled HTTP/1.1\r\nHost: a", b"a\r\r\nY: z"),
    *each("value over lines", GET + b"%b\r\n\r\n", (400,), "5.2", b"X: a\r\n b", b"X: a\r\n\tb", b"X:\r\n a",
          b"X: a\r\n \r\nY: b"),
    Case("space line after the request line", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", (400,), "2.2"),
    Case("bare LF ends a line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", (400,), "2.2"),
    Case("bare LF ends a field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", (400,), "2.2"),
    Case("bare LF before the empty line", b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", (400,), "2.2"),
    Case("fields 100", GET + b"X: y\r\n" * 99 + END, (got, OK), "6585 5"),
    Case("fields 101", GET + b"X: y\r\n" * 100 + END, (431,), "6585 5"),
    Case("field of 8 KB", GET + b"X:" + b"y" * 8190 + b"\r\n\r\n", (got, OK), "6585 5"),
    Case("field of more than 8 KB", GET + b"X:" + b"y" * 8191 + b"\r\n\r\n", (431,), "6585 5"),
    Case("head of more than 32 KB", GET + (b"X: " + b"y" * 4000 + b"\r\n") * 9 + END, (431,), "6585 5"),
    Case("request line of 8 KB", b"GET /" + b"x" * 8178 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
         (Passed(b"GET", b"/" + b"x" * 8178), OK), "3"),
    Case("request line of more than 8 KB", b"GET /" + b"x" * 8179 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414,), "3"),
    Case("head half there", b"GET / HTTP/1.1\r\nHost: a\r\n", (MORE,), "2.1"),
    Case("request line half there", b"GET / HT", (MORE,), "2.1"),
    Case("nothing", b"", (OK,), "2.1"),
)  # fmt: skip

EXPECTATIONS = (
    *each("expect", POST + b"Expect: %b\r\nContent-Length: 5\r\n\r\nhello", (posted, OK), "9110 10.1.1",
          b"100-continue", b"100-Continue", b" 100-continue ", b"100-continue, 100-continue"),
    *each("expect", POST + b"Expect: %b\r\nContent-Length: 5\r\n\r\nhello", (417,), "9110 10.1.1",
          b"", b"100", b"200-ok", b"100-continue, x", b"100-continue;q=1"),
    Case("expect in HTTP/1.0", b"POST /p HTTP/1.0\r\nHost: a\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello", (posted, OK),
         "9110 10.1.1"),
)  # fmt: skip

CONNECTIONS = (
    Case("close ends the connection", GET + b"Connection: close\r\n\r\n" + NEXT, (got, OK), "9.6"),
    Case("close among others", GET + b"Connection: x, CLOSE\r\n\r\n" + NEXT, (got, OK), "9.6"),
    Case("close in a second line", GET + b"Connection: keep-alive\r\nConnection: close\r\n\r\n" + NEXT, (got, OK), "9.6"),
    Case("HTTP/1.0 ends the connection", OLD + END + NEXT, (got, OK), "9.3"),
    Case("HTTP/1.0 stays when asked", OLD + b"Connection: keep-alive\r\n\r\n" + NEXT, (got, got_next, OK), "9.3"),
    Case("close of a proxy alone", GET + b"Proxy-Connection: close\r\n\r\n" + NEXT, (got, got_next, OK), "C.2.2"),
    *each("connection", GET + b"Connection: %b\r\n\r\n" + NEXT, (got, got_next, OK), "9110 7.6.1",
          b"", b",", b"keep-alive", b"x", b"Host", b"content-length, te", b"closed", b"x-close", b'"close"', b"upgrade"),
    Case("a body in an HTTP/1.0 GET", OLD + b"Content-Length: 5\r\n\r\nhello", (413,), "HAProxy"),
    Case("a body in an HTTP/1.0 POST", b"POST /p HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", (posted, OK), "9.3"),
    Case("websocket", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", (got, OK), "9110 7.8"),
    Case("websocket in a list", GET + b"Connection: x, upgrade\r\nUpgrade: h2c, WebSocket\r\n\r\n", (got, OK), "9110 7.8"),
    Case("websocket with length zero", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
         (got, OK), "7.8"),
    Case("websocket not asked in Connection", GET + b"Upgrade: websocket\r\n\r\n" + NEXT, (got, got_next, OK), "9110 7.8"),
    Case("websocket in HTTP/1.0", OLD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + NEXT, (got, OK), "9110 7.8"),
    *each("upgrade with a body to", POST + b"Connection: Upgrade\r\nUpgrade: %b\r\nContent-Length: 5\r\n\r\nhello" + NEXT,
          (posted, got_next, OK), "9110 7.8",
          b"websocket", b"tcp", b"TLS/1.2", b"h2c, websocket", b"HTTP/2.0", b"a b", b",", b"", b"\xe9", b'"x"'),
    *each("upgrade with chunks to",
          POST + b"Connection: Upgrade\r\nUpgrade: %b\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + NEXT,
          (chunked, got_next, OK), "9110 7.8", b"websocket", b"tcp", b"TLS/1.2", b"h2c"),
    *each("upgrade with a body and", POST + b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\n%b\r\n\r\n" + HELLO,
          (400,), "6.3", b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Upgrade: a\x00b", b"Upgrade: a\x7f",
          b" Upgrade: x", b"Upgrade : x", b"X: a\x01"),
    *each("upgrade in two lines of a POST",
          POST + b"Connection: Upgrade\r\nUpgrade: %b\r\nUpgrade: tcp\r\nContent-Length: 5\r\n\r\nhello" + NEXT,
          (posted, got_next, OK), "9110 7.8", b"TLS/1.2", b"tcp"),
    Case("upgrade with a tab around its coding",
         POST + b"Connection: Upgrade\r\nUpgrade: tcp\r\nTransfer-Encoding:\tchunked\t\r\n\r\n" + HELLO + NEXT,
         (chunked, got_next, OK), "9110 5.6.3"),
    Case("upgrade with a body in HTTP/1.0",
         b"POST /p HTTP/1.0\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\nUpgrade: tcp\r\nContent-Length: 5\r\n\r\nhello"
         + NEXT, (posted, got_next, OK), "9110 7.8"),
    Case("upgrade with a request for its body",
         POST + b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %d\r\n\r\n" % len(NEXT) + NEXT + NEXT,
         (Passed(b"POST", b"/p", NEXT, Framing.LENGTH), got_next, OK), "9110 7.8"),
    Case("websocket named by a proxy", GET + b"Proxy-Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + NEXT,
         (got, got_next, OK), "9110 7.8"),
    Case("h2c is not passed on",
         GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n" + NEXT,
         (got, got_next, OK), "h2c smuggling"),
    Case("h2c with a body", POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello" + NEXT,
         (posted, got_next, OK), "9110 7.8"),
    Case("h2c with chunks", POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + NEXT,
         (chunked, got_next, OK), "9110 7.8"),
    Case("h2c with a NUL", POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\nKeep-Alive: a\x00\r\n\r\nhello",
         (400,), "9110 5.5"),
)  # fmt: skip

PIPELINES = (
    Case("two", NEXT + NEXT, (got_next, got_next, OK), "9.3.2"),
    Case("a body, then one", POST + b"Content-Length: 5\r\n\r\nhello" + NEXT, (posted, got_next, OK), "9.3.2"),
    Case("a body that looks like one", POST + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT,
         (Passed(b"POST", b"/p", NEXT, Framing.LENGTH), OK), "6.3 rule 6"),
    Case("chunks, then one", CHUNKED + HELLO + NEXT, (chunked, got_next, OK), "9.3.2"),
    Case("chunks with trailers, then one", CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n" + NEXT, (chunked, got_next, OK),
         "9.3.2"),
    Case("chunks in which one hides", CHUNKED + b"%x\r\n%b\r\n" % (len(NEXT), NEXT) + LAST + NEXT,
         (Passed(b"POST", b"/p", NEXT, Framing.CHUNKED), got_next, OK), "7.1"),
    Case("one, then rubbish", NEXT + b"rubbish\r\n\r\n", (got_next, 400), "2.2"),
    Case("one, then half of one", NEXT + b"GET / HTTP/1.1\r\n", (got_next, MORE), "9.3.2"),
    Case("one, then an ambiguous one", NEXT + POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST + NEXT,
         (got_next, 400), "6.3 rule 3"),
    Case("a body of one byte too many", POST + b"Content-Length: 5\r\n\r\nhello!" + NEXT,
         (posted, Passed(b"!GET", b"/next"), OK), "a method now: !GET"),
    Case("an empty line between", POST + b"Content-Length: 5\r\n\r\nhello" + END + NEXT, (posted, got_next, OK), "2.2"),
    Case("no body where one was meant", POST + END + b"hello" + NEXT,
         (posted_nothing, Passed(b"helloGET", b"/next"), OK), "a method now: helloGET"),
    Case("a refused one ends the connection", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT, (405,), "9.6"),
    Case("many", NEXT * 20, (*(got_next,) * 20, OK), "9.3.2"),
)  # fmt: skip

CASES = (
    *LENGTHS, *BOTH, *CODINGS, *CHUNKS, *TRAILERS, *HOSTS, *TARGETS, *LINES, *FIELDS, *EXPECTATIONS, *CONNECTIONS, *PIPELINES,
)  # fmt: skip
