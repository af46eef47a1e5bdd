"""`balance backend`: an HTTP/1.1 server for tests."""
