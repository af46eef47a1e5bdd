"""Hypothesis strategies for request heads that HTTP parsers have disagreed on."""

from __future__ import annotations

from hypothesis import strategies as st

_methods = st.sampled_from(
    [
        b"GET",
        b"POST",
        b"HEAD",
        b"OPTIONS",
        b"PUT",
        b"DELETE",
        b"M-SEARCH",
        b"CONNECT",
        b"get",
        b"FOO",
        b"RDG_IN_DATA",
        b"head",
        b"X" * 65,
    ]
)
_targets = st.one_of(
    st.sampled_from(
        [b"/", b"*", b"/a?b", b"http://a/", b"http://a", b"http://b/", b"https://a?x", b"//", b"/#", b"a:80", b"?"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(lambda text: b"/" + text.encode()),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(lambda text: b"http://a/" + text.encode()),
    st.binary(max_size=6),
)
_versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"])
_names = st.sampled_from(
    [b"Host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Proxy-Connection", b"Keep-Alive",
    b"TE",
     b"Upgrade", b"Expect", b"X-Forwarded-For", b"Forwarded", b"X-Request-Id", b"Max-Forwards", b"Trailer", b"X_Y", b"X",
     b"Cookie",
     b"X ", b" X", b""]
)  # fmt: skip
_values = st.one_of(
    st.sampled_from(
        [b"a", b"0", b"5", b"70000", b"chunked", b"gzip, chunked", b"close", b"keep-alive", b"upgrade", b"Upgrade, close",
         b"websocket", b"h2c",
         b"TLS/1.2, tcp", b"100-continue", b"trailers", b"x, te, host", b"content-length", b"x-forwarded-for", b"close;x",
         b""]
    ),
    st.binary(max_size=8),
)  # fmt: skip
_blanks = st.sampled_from([b"", b" ", b"\t", b"  ", b" \t"])
_lines = st.builds(lambda *parts: b"".join(parts), _names, st.just(b":"), _blanks, _values, _blanks)
_host = st.sampled_from([b"Host: a", b"Host: a", b"Host: a", b"host:a", b"Host: b"])

field_blocks = st.builds(
    lambda host, lines: b"".join(line + b"\r\n" for line in (host, *lines)) + b"\r\n", _host, st.lists(_lines, max_size=5)
)
request_lines = st.builds(lambda *parts: b"%b %b %b\r\n" % parts, _methods, _targets, _versions)
request_heads = st.builds(lambda line, block: line + block, request_lines, field_blocks)
status_lines = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 X\r\n", b"HTTP/1.1 304 X\r\n",
     b"HTTP/1.1 101 X\r\n", b"HTTP/1.1 100 X\r\n", b"HTTP/1.1 500 \r\n", b"HTTP/2.0 200 OK\r\n"]
)  # fmt: skip
response_heads = st.builds(lambda line, block: line + block, status_lines, field_blocks)

# Chunked bodies, most of them well formed, some with a byte put in, taken out or changed.
_digits = st.builds(lambda zeros, size: zeros + size, st.sampled_from([b"", b"", b"0", b"0" * 12, b"0" * 14]), st.just(b"%x"))
_extensions = st.sampled_from([b"", b"", b"", b"", b";a=b", b";" + b"x" * 255, b";" + b"x" * 256, b" ", b";\xff"])
_contents = st.one_of(
    st.binary(min_size=1, max_size=20), st.sampled_from([b"0\r\n\r\n", b"\r\n", b"5\r\nhello\r\n", b"x" * 300])
)
_chunks = st.builds(
    lambda digits, extension, content: digits % len(content) + extension + b"\r\n" + content + b"\r\n",
    _digits, _extensions, _contents,
)  # fmt: skip
_ends = st.sampled_from(
    [b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\n\r\n", b"00\r\n\r\n", b"0;a\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n",
     b"0\r\nContent-Length: 5\r\n\r\n",
     b"0\r\nX: a\nb\r\n\r\n", b"0\r\n", b""]
)  # fmt: skip
_after = st.sampled_from([b"", b"", b"GET / HTTP/1.1\r\n", b"\r\n", b"0\r\n\r\n"])
_marks = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from([b"\r", b"\n", b"0", b"f", b";", b" ", b"\x00", b""])), max_size=2
)


def _marked(body: bytes, marks: list[tuple[int, bytes]]) -> bytes:
    for at, byte in marks:
        at %= len(body) + 1
        body = body[:at] + byte + body[at + (at % 3 > 0) :]
    return body


chunked_bodies = st.builds(
    lambda chunks, end, after, marks: _marked(b"".join((*chunks, end, after)), marks),
    st.lists(_chunks, max_size=6), _ends, _after, st.one_of(st.just([]), _marks),
)  # fmt: skip
