"""How often a client may ask: by what it is counted, what it is told, and who comes with tokens that are no good."""
