"""Where the access log's lines go. Outputs may block: they belong to the log's own thread."""
