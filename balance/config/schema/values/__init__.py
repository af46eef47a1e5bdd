"""The values of the keys of routes: conditions, paths, hosts, templates, times."""
