"""TCP mode: a session, and the relay that also carries tunnels."""
