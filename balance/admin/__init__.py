"""The side doors: health, readiness, status and metrics, on their own port and their own small server."""
