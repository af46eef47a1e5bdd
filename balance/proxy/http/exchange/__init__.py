"""One HTTP request and its reply, from the choice of a backend to the last byte."""
