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
