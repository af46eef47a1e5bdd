"""What a user may write: every key, its kind and default."""
