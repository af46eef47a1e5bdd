"""HTTP/1.1 parsing and serialization (RFC 9110, 9112), without I/O."""
