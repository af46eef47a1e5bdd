"""The supervisor process: bootstrap, lifecycle, signals, and the loop that waits."""
