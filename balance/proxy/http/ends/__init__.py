"""The client's end of an exchange, as the exchange knows it: whatever protocol the client speaks, it is told messages."""
