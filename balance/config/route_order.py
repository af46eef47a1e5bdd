"""The total order in which routes are tried, and what follows from it: equal routes, routes that are never reached."""
