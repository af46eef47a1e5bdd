"""HTTP mode: clients, exchanges, upstream connections, tunnels."""
