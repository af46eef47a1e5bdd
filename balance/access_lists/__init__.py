"""Who may connect: lists of addresses, and counts of connections per address. Knows neither sockets nor clocks."""
