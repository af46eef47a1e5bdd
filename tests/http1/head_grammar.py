"""Heads of requests and replies by a grammar, and then spoiled: the same ones for the same seed, wherever they are made.

A stream has a small vocabulary of lines, as a connection has, so that what was read before comes again beside what was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_METHODS = (b"GET", b"GET", b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"M-SEARCH", b"QUERY", b"BREW", b"get",
            b"CONNECT", b"TRACE", b"PRI", b"Head", b"G\x00T", b"X" * 65)  # fmt: skip
_TARGETS = (b"/", b"/", b"/a?b=c", b"/%7e/x;y", b"//", b"/?q=\"<>\\^`{|}~", b"*", b"http://a/", b"http://a", b"HTTP://A:80/x?y",
            b"http://b/", b"https://a:443?x", b"http://a?x", b"/#", b"a:80", b"?", b"", b"/\x7f", b"/\xe9", b"http:///x",
            b"ws://a/")  # fmt: skip
_VERSIONS = (b"HTTP/1.1",) * 12 + (b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11")
_STATUS_LINES = (b"HTTP/1.1 200 OK",) * 6 + (
    b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 100 Continue", b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 201 Created", b"HTTP/1.1 204 No Content", b"HTTP/1.1 206 Partial Content",
    b"HTTP/1.1 301 Moved", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 401 Unauthorized", b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 407 Proxy", b"HTTP/1.1 426 Upgrade Required", b"HTTP/1.1 500 X", b"HTTP/1.1 599 X", b"HTTP/1.1 600 X",
    b"HTTP/1.1 999 X", b"HTTP/1.1 099 X", b"HTTP/1.1 20 X", b"HTTP/2.0 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 200\tOK",
    b"HTTP/1.1 200 caf\xe9", b"HTTP/1.1 200 a\x01", b"HTTP/1.1 200 " + b"long " * 20, b"ICY 200 OK",
)  # fmt: skip
_PLAIN_NAMES = (
    b"Accept", b"Accept-Encoding", b"User-Agent", b"Cookie", b"Set-Cookie", b"Date", b"ETag", b"Server", b"Content-Type",
    b"Referer", b"traceparent", b"X-Trace", b"X-SSL", b"X-Forward", b"X.Y", b"Cache-Control", b"Vary", b"Trailer",
    b"WWW-Authenticate", b"Authorization", b"authorization", b"Range", b"Max-Forward", b"Hosts", b"Content-Lengthx", b"Xhost",
    b"Transfer-Encodin", b"Connectio", b"!#$%&'*+-.^`|~",
)  # fmt: skip
_SPECIAL_NAMES = (
    b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Proxy-Connection", b"Proxy-Authenticate",
    b"Proxy-Authorization", b"HTTP2-Settings", b"Keep-Alive", b"TE", b"Upgrade", b"Expect", b"Forwarded", b"X-Real-IP",
    b"X-Request-Id", b"Max-Forwards", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-",
    b"X-Forwarded-X.Y", b"X-SSL-Client-Verify", b"X-SSL-Client", b"X-SSL-Clientx", b"X_SSL_Client_DN", b"X-SSL_Client-Verify",
    b"X.SSL.Client", b"X_Y", b"Content_Length", b"X-Forwarded_For", b"_", b"X-Y_",
)  # fmt: skip
_BAD_NAMES = (b"", b" X", b"\tX", b"X ", b"X\t", b"X Y", b"Host ", b" Host", b"Content-Length ", b"Transfer-Encoding\t",
              b"X\x00", b"\xe9", b"X(", b"X\x7f", b"Transfer-Encoding\x0b", b"@")  # fmt: skip
_VALUES = {
    b"host": (b"a", b"a", b"a", b"A", b"a:80", b"a:", b"b", b"[::1]:80", b"a b", b"", b"a/b", b"a,b", b"caf\xe9",
              b"Example.COM:8080"),
    b"content-length": (b"0", b"1", b"5", b"05", b"00", b"65535", b"65536", b"65537", b"70000", b"999999999999999999",
                        b"1" + b"0" * 18, b"18446744073709551616", b"+5", b"-5", b"5,5", b"5 5", b"5a", b"", b"0x5", b"\xb2"),
    b"transfer-encoding": (b"chunked", b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"chunked, chunked", b"x", b"",
                           b"chunked;q=1", b"\x0bchunked"),
    b"connection": (b"keep-alive", b"Keep-Alive", b"close", b"Close", b"upgrade", b"Upgrade, close", b"keep-alive, Upgrade",
                    b"x-trace", b"cookie, accept", b"te, trailers", b"host", b"content-length, date", b"max-forwards", b"x_y",
                    b"x-request-id, etag", b"", b",", b"close;x", b"transfer-encoding", b"x-forwarded-for"),
    b"proxy-connection": (b"keep-alive", b"close", b"x"),
    b"keep-alive": (b"timeout=5", b"timeout=5, max=99", b"max=1", b"timeout=x", b"Timeout = 7"),
    b"te": (b"trailers", b"gzip", b"trailers, gzip;q=0.5", b""),
    b"upgrade": (b"websocket", b"h2c", b"websocket, h2c", b"TLS/1.0", b"x y", b""),
    b"expect": (b"100-continue", b"100-Continue", b"200-ok", b""),
    b"x-request-id": (b"1234", b"abc-def", b"", b"a b", b"\xe9", b"x" * 128, b"x" * 129),
    b"max-forwards": (b"0", b"1", b"10", b"007", b"x", b"-1", b""),
    b"authorization": (b"Bearer abc", b"Basic abc=", b"NTLM abc", b"Negotiate abc", b"negotiator", b"Kerberos", b"CredSSP x",
                       b""),
    b"www-authenticate": (b"Basic", b"NTLM", b"Basic, Negotiate", b"Negotiate"),
    b"x-forwarded-for": (b"10.0.0.1", b"10.0.0.1, ::1", b"x", b""),
}  # fmt: skip
_TEXTS = (b"a", b"text/html,application/json;q=0.9", b"gzip, deflate, br", b"no-cache", b"Mozilla/5.0 (X11; Linux x86_64)", b"",
          b"a:b", b"\xe9\xff\x80", b"a\tb", b'"x"', b"x" * 300, b"HTTP/1.1 200 OK", b"Host: b")  # fmt: skip
_ILL = (b"\x00", b"\x01", b"\x0b", b"\x7f", b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb", b"\n", b"\r", b"a\nHost: b", b"a\rTE: x")
_BLANKS = (b" ", b" ", b" ", b" ", b"", b"\t", b"  ", b" \t")
_AFTER = (b"", b"", b"", b"", b"", b" ", b"\t")
_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b" \r\n", b"\r\n ", b"\r\n\t")


class Stream:
    """Heads as one side of some connections sends them, one after the other."""

    def __init__(self, seed: int, *, replies: bool = False) -> None:
        self._random = random.Random(seed)
        self._replies = replies
        self._illness = self._random.choice((0.0, 0.05, 0.3))
        self._strange = self._random.choice((0.0, 0.02, 0.2))  # how often a line is malformed
        self._common = [self._line() for _ in range(self._random.randrange(4, 24))]
        self._first = [self._first_line() for _ in range(3)]
        self._size = self._random.choice((2, 6, 14))
        self._kept = b""

    def heads(self, count: int) -> Iterator[bytes]:
        """The next `count` of them; each is complete, or was before it was spoiled."""
        for _ in range(count):
            yield self._head()

    def _head(self) -> bytes:
        pick = self._random
        if self._kept and pick.random() < 0.2:
            return self._kept  # the very same again
        lines = [pick.choice(self._common) for _ in range(pick.randrange(self._size))]
        if pick.random() < 0.7:
            lines.insert(pick.randrange(len(lines) + 1), self._line())
        if pick.random() < 0.7:
            number = pick.randrange(10**6)
            lines.insert(pick.randrange(len(lines) + 1), pick.choice(_CHANGING) % number)
        if not self._replies and pick.random() < 0.95:
            lines.insert(
                pick.choice((0, 0, 0, len(lines))), pick.choice((b"Host: a", b"Host: a", b"host:a", b"Host: B.example"))
            )
        if self._replies and pick.random() < 0.6:
            lines.insert(pick.randrange(len(lines) + 1), b"Content-Length: %d" % pick.choice((0, 5, pick.randrange(10**5))))
        if pick.random() < 0.02:
            lines += [pick.choice(self._common) for _ in range(pick.choice((6, 7, 8, 99, 100, 101, 199, 200, 201)))]
        if pick.random() < 0.03:  # at the border of a line's length
            lines.append(b"X: " + b"y" * (pick.choice((64, 256, 8192)) - pick.randrange(8)))
        first = pick.choice(self._first) if pick.random() < 0.8 else self._first_line()
        head = b"".join(line + b"\r\n" for line in (first, *lines)) + b"\r\n"
        if pick.random() < self._illness:
            head = self._spoiled(head)
        self._kept = head
        return head

    def _first_line(self) -> bytes:
        pick = self._random
        if self._replies:
            return pick.choice(_STATUS_LINES)
        if pick.random() < 0.6:
            return b"GET /%d HTTP/1.1" % pick.randrange(10**4)
        return b"%b %b %b" % (pick.choice(_METHODS), pick.choice(_TARGETS), pick.choice(_VERSIONS))

    def _line(self) -> bytes:
        pick = self._random
        kind = pick.random()
        name = pick.choice(_PLAIN_NAMES if kind < 0.55 else _SPECIAL_NAMES)
        strange = self._strange
        if pick.random() < strange:
            name = pick.choice(_BAD_NAMES)
        values = _VALUES.get(name.lower(), _TEXTS)
        value = values[0] if pick.random() < 0.5 else pick.choice(values) if pick.random() < 0.95 else pick.choice(_TEXTS)
        if pick.random() < strange:
            value = pick.choice(_ILL)
        name = pick.choice((name, name, name, name.lower(), name.upper()))
        colon = b":" if pick.random() >= strange / 2 else pick.choice((b"", b" :", b"::", b": :"))
        return b"".join((name, colon, pick.choice(_BLANKS), value, pick.choice(_AFTER)))

    def _spoiled(self, head: bytes) -> bytes:
        pick = self._random
        for _ in range(pick.choice((1, 1, 1, 2, 4))):
            at = pick.randrange(len(head))
            how = pick.randrange(9)
            if how == 0:
                head = head[:at] + bytes((pick.randrange(256),)) + head[at + 1 :]
            elif how == 1:
                head = head[:at] + head[at + 1 :]
            elif how == 2:
                head = head[:at] + pick.choice((*_ILL, b":", b" ", b",", b"_", b"-")) + head[at:]
            elif how == 3:  # another end of a line
                ends = [index for index in range(len(head)) if head.startswith(b"\r\n", index)]
                at = pick.choice(ends) if ends else 0
                head = head[:at] + pick.choice(_ENDS) + head[at + 2 :]
            elif how == 4:  # a line twice, or one that is gone
                lines = head.split(b"\r\n")
                at = pick.randrange(len(lines))
                lines[at : at + 1] = [lines[at]] * pick.choice((0, 2))
                head = b"\r\n".join(lines)
            elif how == 5:
                head = head[:at] + head[at:].swapcase()
            elif how == 6:  # a name alone
                head = head[:at] + head[at:].replace(b":", b"", 1)
            elif how == 7:  # a line that was good, without its end or with another
                lines = head.split(b"\r\n")
                line = pick.choice(self._common)
                lines.insert(pick.randrange(len(lines)), pick.choice((line.partition(b":")[0], line + b"\x00", b" " + line)))
                head = b"\r\n".join(lines)
            else:
                head = head[:at] + head[pick.randrange(len(head)) :]
            head = head or b"\r\n"
        return head


_CHANGING = (
    b"Cookie: session=%d", b"X-Trace: %d", b"X-Request-Id: %d", b"X-Forwarded-For: 10.0.0.%d", b"Content-Length: %d",
    b'ETag: "%d"', b"Host: h%d", b"Keep-Alive: timeout=%d", b"Connection: x-%d", b"X-%d: new", b"x_%d: new",
    b"Authorization: Bearer %d", b"Authorization: NTLM %d", b"Forwarded: for=%d", b"Upgrade: x/%d", b"Expect: %d",
    b"Set-Cookie: id=%d; Path=/", b"content-length:%d", b"Content-Length:  %d", b"Content-Length: %d ", b"Max-Forwards: %d",
)  # fmt: skip


def in_one_byte_more(names: tuple[bytes, ...] = (*_PLAIN_NAMES, *_SPECIAL_NAMES)) -> Iterator[bytes]:
    """Field lines with each byte in a name, behind a name, and in a value."""
    for number in range(256):
        byte = bytes((number,))
        for name in names:
            yield name + byte + b": a"
        yield from (byte + b"Host: a", b"X: " + byte, b"X: a" + byte, b"X:" + byte + b"a", b"X: " + b"a" * 40 + byte + b"b",
                    b"A" + byte + b"B: x", b"X" + byte + b"SSL" + byte + b"Client: x", b"Host: a" + byte,
                    b"Content-Length: 5" + byte, b"Content-Length: " + byte + b"5", b"Transfer-Encoding: chunked" + byte,
                    b"Connection: close" + byte, b"Authorization:" + byte + b"NTLM x", b"X-Forwarded-For: 1" + byte,
                    b"X-Request-Id: 1" + byte)  # fmt: skip
