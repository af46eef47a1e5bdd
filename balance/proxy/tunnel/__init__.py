"""What an HTTP connection is after a 101: bytes pass both ways, and of a WebSocket it is known where its frames end."""
