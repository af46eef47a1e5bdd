"""Copies of requests go to a mirror: what it does is nothing to the client or to the backend that serves the request."""
