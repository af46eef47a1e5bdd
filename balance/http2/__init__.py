"""HTTP/2 (RFC 9113) without sockets: what frames mean, what may be sent, and when a peer is refused."""
