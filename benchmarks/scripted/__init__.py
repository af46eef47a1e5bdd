"""Scripted connections through the real data path, without sockets."""
