"""What proxies before us wrote into a request, whom of them to believe, and what the backend is told."""
