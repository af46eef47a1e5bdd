"""The PROXY protocol, v1 and v2: who a connection is from, said by the proxy before its first byte. Knows no sockets."""
