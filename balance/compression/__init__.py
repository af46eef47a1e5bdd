"""Which replies are compressed, and how."""
