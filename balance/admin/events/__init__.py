"""The event log: a bounded history, what watches for events, and the stream of them (server-sent events)."""
