"""Forwarding headers: the client address from trusted proxies, and the fields that are sent to backends."""
