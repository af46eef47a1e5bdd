"""Access lists: which addresses may connect. Knows neither sockets nor clocks."""
