"""TLS on accepted connections: what comes before the handshake, and the handshake."""
