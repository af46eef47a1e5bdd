"""`balance backend`: a small HTTP server to try things with."""
