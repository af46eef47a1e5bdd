"""Which route a request takes: hosts, paths as a rule and as a backend reads them, conditions, the table of routes."""
