"""Lines of logs: what stands in them, and how they are written. Knows no file, no socket and no clock."""
