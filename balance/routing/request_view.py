"""Looks up header fields, cookies and query parameters of one request for conditions. Parses what is asked for only."""

from __future__ import annotations


class RequestView:
    """To come."""
