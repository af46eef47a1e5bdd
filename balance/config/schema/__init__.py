"""The schema of the configuration file: every key with its type, default and description."""
