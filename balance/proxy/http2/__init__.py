"""HTTP/2 to clients: a listener's connections, and the streams on them, each of which is the client of one exchange."""
