"""The document of an instance's state: readings of the counters, what is made of them, and patches between two documents."""
