"""Flow control (RFC 9113 section 5.2): what may be sent to us, and what we send, in which order."""
