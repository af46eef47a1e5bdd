"""Traces without sockets: contexts in and out, which requests are sampled, and spans as OTLP has them."""
