"""What the supervisor does over many turns: reload, rolling restart, upgrade; one at a time. How configurations are loaded."""
