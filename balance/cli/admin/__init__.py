"""Commands that talk to a running instance through its admin port."""
