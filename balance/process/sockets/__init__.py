"""Listening sockets: bound by the supervisor, inherited from systemd or a predecessor, given to each child."""
