"""What an HTTP connection is after a 101: a relay of bytes both ways, which tracks the frames of a WebSocket."""
