"""HTTP/2 to backends: connections that several exchanges share, each with a stream of its own."""
