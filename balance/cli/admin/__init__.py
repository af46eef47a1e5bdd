"""Commands that use the admin API of a running instance."""
