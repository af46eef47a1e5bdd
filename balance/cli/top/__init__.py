"""`balance top`: a running instance on a terminal, as it changes."""
