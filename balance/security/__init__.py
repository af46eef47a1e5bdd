"""Who asks, and what browsers may do with the answer: fields, origins, passwords and tokens, without sockets or clocks."""
