"""Bytes to messages and back (RFC 9110, 9112). Knows nothing of sockets, clocks or configuration files."""
