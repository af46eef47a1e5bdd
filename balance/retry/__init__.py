"""Retries: whether a failed request is sent again, after which backoff, within which budget."""
